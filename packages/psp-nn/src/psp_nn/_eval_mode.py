"""Running a network in evaluation mode."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def eval_mode(net: nn.Module) -> Iterator[None]:
    """Put `net` into evaluation mode, and restore the mode of every module on exit."""
    training = [module for module in net.modules() if module.training]
    net.eval()
    try:
        yield
    finally:
        for module in training:  # net.train() would also change modules that were evaluating
            module.training = True
