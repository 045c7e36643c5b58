"""Means of samples, with what they may be off by."""

import math
from dataclasses import dataclass

from torch import Tensor

from analysis._arguments import check_tensor, checked_number


@dataclass(frozen=True)
class Estimate:
    """A mean over independent samples, with its standard error.

    Attributes:
        value: The mean.
        error: Its standard error, from the samples' own spread.
    """

    value: float
    error: float

    def agrees(self, truth: float, errors: float = 5.0, rounding: float = 1e-9) -> bool:
        """Whether `truth` lies within so many standard errors (and the rounding) of the mean.

        Raises:
            TypeError, ValueError: If an argument is no finite number.
        """
        truth, errors = checked_number("truth", truth), checked_number("errors", errors)
        rounding = checked_number("rounding", rounding)
        return abs(self.value - truth) <= errors * self.error + rounding * max(1.0, abs(truth))


def estimate(samples: Tensor) -> Estimate:
    """Mean and standard error of independent samples.

    Args:
        samples: Real, shape (n,), n at least 2.

    Raises:
        TypeError: If they are no tensor of numbers.
        ValueError: If there are fewer than two samples, or they are complex.

    Example:
        >>> import torch
        >>> from analysis.retrieval import estimate
        >>> estimate(torch.tensor([1.0, 3.0]))
        Estimate(value=2.0, error=1.0)
    """
    check_tensor("samples", samples, "…")
    if samples.dim() != 1 or len(samples) < 2 or samples.is_complex():
        raise ValueError(
            f"samples must be a vector of at least two real numbers, but are {samples.dtype} of "
            f"shape {tuple(samples.shape)}; flatten it, or pass real and imaginary part in turn."
        )
    samples = samples.cpu().double()
    return Estimate(samples.mean().item(), samples.std().item() / math.sqrt(len(samples)))
