"""Running a network that somebody else has written."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Within this, all of `net` evaluates; afterwards each module trains that trained before."""
    training = [module for module in net.modules() if module.training]
    net.eval()
    try:
        yield
    finally:
        for module in training:  # not net.train(), which would wake what was put to rest by itself
            module.training = True


@contextmanager
def running(net: str, argument: str, x: Tensor) -> Iterator[None]:
    """Within this, an input that the network cannot take is refused by the name of the argument.

    Raises:
        ValueError: If it cannot, with what it says of it.
    """
    try:
        yield
    except (RuntimeError, TypeError, IndexError, ValueError, AssertionError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise ValueError(
            f"{net} cannot be run on {argument}, {x.dtype} of shape {tuple(x.shape)} on "
            f"{x.device}: {error}"
        ) from error
