"""Where to compute."""

from typing import Literal

import torch

Device = Literal["auto", "cpu", "cuda", "mps"]


def resolve_device(device: Device) -> torch.device:
    """The device that a command-line choice means on this machine.

    Args:
        device: `auto` takes CUDA where there is one, else the CPU.

    Raises:
        ValueError: If the machine has no such device.

    Example:
        >>> from experiments.runner import resolve_device
        >>> resolve_device("cpu")
        device(type='cpu')
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": _mps_is_available()}
    if device == "auto":
        return torch.device("cuda" if available["cuda"] else "cpu")
    if not available[device]:
        have = ", ".join(name for name, there in available.items() if there)
        raise ValueError(f"device={device!r} is not on this machine, which has {have}; use auto.")
    return torch.device(device)


def _mps_is_available() -> bool:
    return torch.backends.mps.is_available()
