"""The device to compute on, its clock, and the number of threads."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

Device = Literal["auto", "cpu", "cuda", "mps"]


def resolve_device(device: Device) -> torch.device:
    """Return the device that a command-line choice means on this machine.

    Args:
        device: `auto` takes CUDA if present, else the CPU.

    Raises:
        ValueError: If the machine has no such device.

    Example:
        >>> from experiments.runner.device import resolve_device
        >>> resolve_device("cpu")
        device(type='cpu')
    """
    mps = torch.backends.mps.is_available()
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": mps}
    if device == "auto":
        return torch.device("cuda" if available["cuda"] else "cpu")
    if not available[device]:
        names = ", ".join(name for name, present in available.items() if present)
        raise ValueError(f"device={device!r} is not on this machine, which has {names}; use auto.")
    return torch.device(device)


def synchronised_time(device: torch.device) -> float:
    """Wait for the device to finish its queue, and return the time in seconds."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread inside this context, for grids of parallel processes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
