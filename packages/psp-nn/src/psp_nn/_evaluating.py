"""Evaluating a network for a moment."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


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
