"""Some of many images, chosen without chance."""

import torch
from torch import Tensor


def evenly(total: int, count: int, device: torch.device | str = "cpu") -> Tensor:
    """Which `count` of `total` samples to take so that they lie evenly over the set.

    Args:
        total: How many there are.
        count: How many to take; all, if there are no more.
        device: Where the numbers are wanted.

    Returns:
        Different numbers in ascending order, shape (min(count, total),), int64.

    Example:
        >>> from experiments.runner import evenly
        >>> evenly(10, 4)
        tensor([0, 2, 5, 7])
    """
    count = min(count, total)
    return (torch.arange(count, device=device) * total) // count
