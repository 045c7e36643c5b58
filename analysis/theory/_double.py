"""What theory computes with: double precision, on the CPU, since not every device has it."""

import torch
from torch import Tensor

Number = float | Tensor


def double(x: Number) -> Tensor:
    """In double precision on the CPU, real or complex as it is."""
    if isinstance(x, Tensor):
        return x.cpu().to(torch.complex128 if x.is_complex() else torch.float64)
    return torch.as_tensor(x, dtype=torch.float64, device="cpu")


def at_least(least: float, name: str, number: Number) -> Tensor:
    """A real argument in double precision, if it is nowhere less than `least`.

    Raises:
        ValueError: If it is, or is NaN; the message names it.
    """
    value = double(number)
    wrong = value[~(value >= least)]
    if len(wrong):
        raise ValueError(f"{name}={wrong[0].item():g} must be at least {least:g}.")
    return value
