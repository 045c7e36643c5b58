"""Where a run that came to nothing did so."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Diverged(ArithmeticError):
    """A loss or a parameter is NaN or infinite.

    Args:
        fault: Which value of which layer, in words.
        step: After how many steps, once that is known.
    """

    def __init__(self, fault: str, step: int | None = None) -> None:
        """See the class."""
        super().__init__(fault, step)
        self.fault = fault
        self.step = step

    def __str__(self) -> str:
        """For the user."""
        return f"diverged in step {self.step}: {self.fault}"

    def at(self, step: int) -> "Diverged":
        """The same, and when it was."""
        return Diverged(self.fault, step)


def fault_of(net: nn.Module, loss: Tensor) -> str | None:
    """The first parameter that is not finite, else the loss if that is not, in words.

    Args:
        net: The network.
        loss: A scalar.

    Example:
        >>> import torch
        >>> from experiments.runner.diverged import fault_of
        >>> net = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(2, 2))
        >>> print(fault_of(net, torch.tensor(1.0)))
        None
        >>> net[1].bias.data[0] = float("inf")
        >>> fault_of(net, torch.tensor(1.0))
        'layer 1 (Linear): its parameter bias holds inf'
    """
    for name, layer in net.named_modules():
        for own, value in layer.named_parameters(recurse=False):
            if found := _not_finite(value):
                return f"{_in_words(name, layer)}: its parameter {own} holds {found}"
    found = _not_finite(loss)
    return f"the loss is {found}" if found else None


@contextmanager
def blaming(net: nn.Module) -> Iterator[list[str]]:
    """Within this, the first layer whose input or output is not finite is noted, in words."""
    faults: list[str] = []

    def note(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        for kind, values in (("input", inputs), ("output", (output,))):
            for value in values:
                found = _not_finite(value) if isinstance(value, Tensor) else None
                if found and not faults:
                    faults.append(f"{_in_words(names[layer], layer)}: its {kind} holds {found}")

    names = {layer: name for name, layer in net.named_modules()}
    hooks = [layer.register_forward_hook(note) for layer in names if not any(layer.children())]
    try:
        yield faults
    finally:
        for hook in hooks:
            hook.remove()


def _not_finite(value: Tensor) -> str | None:
    """`nan`, `inf` or `-inf` if there is one, whichever comes first."""
    parts = torch.view_as_real(value) if value.is_complex() else value
    if math.isfinite(parts.sum().item()):  # a tenth of the time of looking at each
        return None
    finite = torch.isfinite(parts)  # the sum may have overflowed
    return None if finite.all() else f"{parts[~finite][0].item():g}"


def _in_words(name: str, layer: nn.Module) -> str:
    return f"layer {name} ({type(layer).__name__})" if name else type(layer).__name__
