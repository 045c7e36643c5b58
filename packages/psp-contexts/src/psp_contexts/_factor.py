"""Factors of a length."""

import math


def smaller_factor(dim: int) -> int:
    """Return the largest divisor of `dim` that is at most its square root.

    Example:
        >>> from psp_contexts._factor import smaller_factor
        >>> smaller_factor(784), smaller_factor(2048), smaller_factor(7)
        (28, 32, 1)
    """
    return next(size for size in range(math.isqrt(dim), 0, -1) if dim % size == 0)
