"""Checks that several functions share."""

from torch import Tensor


def check_logits(caller: str, logits: Tensor, x: Tensor) -> None:
    """Raise a ValueError unless a network's output for the batch `x` is (batch, classes)."""
    if logits.dim() != 2 or len(logits) != len(x):
        raise ValueError(
            f"{caller} needs a classifier as net: its output for x of shape {tuple(x.shape)} must "
            f"have shape ({len(x)}, classes), but is {tuple(logits.shape)}."
        )
