"""Means of independent samples, with their standard errors."""

import math
from dataclasses import dataclass

from jaxtyping import Num
from torch import Tensor


@dataclass(frozen=True)
class Estimate:
    """A mean over independent samples, with its standard error.

    Attributes:
        value: The mean.
        error: Its standard error, from the spread of the samples.
    """

    value: float
    error: float

    def agrees(self, truth: float, errors: float = 5.0, rounding: float = 1e-9) -> bool:
        """True if `truth` is within `errors` standard errors, and rounding, of the mean."""
        return abs(self.value - truth) <= errors * self.error + rounding * max(1.0, abs(truth))


def estimate(samples: Num[Tensor, " n"]) -> Estimate:
    """Return the mean and its standard error from independent samples.

    Args:
        samples: Real samples, at least two.

    Raises:
        ValueError: If there are fewer than two samples, they are complex, or not a vector.

    Example:
        >>> import torch
        >>> from analysis.retrieval import estimate
        >>> estimate(torch.tensor([1.0, 3.0]))
        Estimate(value=2.0, error=1.0)
    """
    if samples.dim() != 1 or len(samples) < 2 or samples.is_complex():
        raise ValueError(
            f"samples must be a real vector of 2 or more, but are {samples.dtype} {samples.shape}."
        )
    samples = samples.cpu().double()
    return Estimate(samples.mean().item(), samples.std().item() / math.sqrt(len(samples)))
