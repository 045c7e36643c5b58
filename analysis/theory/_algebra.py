"""Double-precision tensors, and the sums and products that the closed forms share."""

import torch
from torch import Tensor

Number = float | Tensor


def double(x: Number) -> Tensor:
    """Convert to float64 or complex128 on the CPU: not every device has double precision."""
    if isinstance(x, Tensor):
        return x.cpu().to(torch.complex128 if x.is_complex() else torch.float64)
    return torch.as_tensor(x, dtype=torch.float64, device="cpu")


def at_least(least: float, name: str, number: Number) -> Tensor:
    """Convert a real argument to double precision; refuse NaN and entries below `least`."""
    value = double(number)
    too_small = value[~(value >= least)]
    if len(too_small):
        raise ValueError(f"{name}={too_small[0].item():g} must be at least {least:g}.")
    return value


def dot(w: Tensor, x: Tensor) -> Tensor:
    """Σ_j w_j x_j, without forming the products where leading dimensions only broadcast."""
    return torch.einsum("...j,...j->...", w, x)


def power(x: Tensor) -> Tensor:
    """|x|², entry by entry, real."""
    return x.abs().square()


def energy(x: Tensor) -> Tensor:
    """‖x‖² over the last dimension; of an orthonormal basis, the leverage scores."""
    return power(x).sum(-1)


def without(weights: Tensor, index: int) -> Tensor:
    """All entries of the first dimension but one."""
    return torch.cat((weights[:index], weights[index + 1 :]))
