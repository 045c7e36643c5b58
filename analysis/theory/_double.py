"""What theory computes with: double precision, on the CPU, since not every device has it."""

import torch
from torch import Tensor

from analysis._arguments import check_tensor, checked_number

Number = float | Tensor


def double(x: Number) -> Tensor:
    """In double precision on the CPU, real or complex as it is."""
    if isinstance(x, Tensor):
        return x.cpu().to(torch.complex128 if x.is_complex() else torch.float64)
    return torch.as_tensor(x, dtype=torch.float64, device="cpu")


def at_least(least: float, name: str, number: Number) -> Tensor:
    """A real argument in double precision, if it is nowhere less than `least`.

    Raises:
        TypeError: If it is no real number; the message names it.
        ValueError: If it is less than `least`, or not finite.
    """
    if isinstance(number, Tensor):
        check_tensor(name, number, "…")
        if number.is_complex():
            raise TypeError(f"{name} must be real, but is {number.dtype}.")
        value = double(number)
    else:
        value = double(checked_number(name, number, finite=False))
    wrong = value[~(value >= least)]
    if len(wrong):
        raise ValueError(f"{name}={wrong[0].item():g} must be at least {least:g}.")
    if not value.isfinite().all():
        raise ValueError(f"{name} must be finite; pass finite numbers.")
    return value
