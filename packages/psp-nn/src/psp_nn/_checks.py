"""Checks that several functions share."""

from torch import Tensor


def check_one_context(caller: str, context: int | Tensor) -> None:
    """Raise a TypeError if a batch of contexts is given where one is needed."""
    if isinstance(context, Tensor) and context.dim():
        raise TypeError(f"{caller} needs one context, but got shape {tuple(context.shape)}.")


def check_logits(caller: str, logits: Tensor, x: Tensor) -> None:
    """Raise a ValueError unless a network's output for the batch `x` is (batch, classes)."""
    if logits.dim() != 2 or len(logits) != len(x):
        raise ValueError(
            f"{caller} needs a classifier as net: its output for x of shape {tuple(x.shape)} must "
            f"have shape ({len(x)}, classes), but is {tuple(logits.shape)}."
        )
