"""Errors of runs whose loss or parameters are not finite."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Diverged(ArithmeticError):
    """A loss or a parameter is NaN or infinite.

    Args:
        fault: The value and its layer, in words.
        step: The number of steps taken, once it is known.
    """

    def __init__(self, fault: str, step: int | None = None) -> None:
        super().__init__(fault, step)
        self.fault = fault
        self.step = step

    def __str__(self) -> str:
        """Return the message for the user."""
        return f"diverged in step {self.step}: {self.fault}"

    def at(self, step: int) -> "Diverged":
        """Return the same error with the step at which it happened."""
        return Diverged(self.fault, step)


def find_fault(net: nn.Module, loss: Tensor) -> str | None:
    """Return the first parameter that is not finite, else the loss if it is not, in words.

    Args:
        net: The network.
        loss: A scalar.

    Example:
        >>> import torch
        >>> from experiments.runner.diverged import find_fault
        >>> net = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(2, 2))
        >>> print(find_fault(net, torch.tensor(1.0)))
        None
        >>> net[1].bias.data[0] = float("inf")
        >>> find_fault(net, torch.tensor(1.0))
        'layer 1 (Linear): its parameter bias holds inf'
    """
    for name, layer in net.named_modules():
        for parameter_name, parameter in layer.named_parameters(recurse=False):
            if value := _first_nonfinite(parameter):
                return f"{_describe(name, layer)}: its parameter {parameter_name} holds {value}"
    value = _first_nonfinite(loss)
    return f"the loss is {value}" if value else None


@contextmanager
def locate_nonfinite(net: nn.Module) -> Iterator[list[str]]:
    """Record, inside this context, the first layer whose input or output is not finite."""
    faults: list[str] = []

    def note(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        for kind, tensors in (("input", inputs), ("output", (output,))):
            for tensor in tensors:
                value = _first_nonfinite(tensor) if isinstance(tensor, Tensor) else None
                if value and not faults:
                    faults.append(f"{_describe(names[layer], layer)}: its {kind} holds {value}")

    names = {layer: name for name, layer in net.named_modules()}
    hooks = [layer.register_forward_hook(note) for layer in names if not any(layer.children())]
    try:
        yield faults
    finally:
        for hook in hooks:
            hook.remove()


def _first_nonfinite(value: Tensor) -> str | None:
    """Return `nan`, `inf` or `-inf`, whichever comes first, or None."""
    parts = torch.view_as_real(value) if value.is_complex() else value
    if math.isfinite(parts.sum().item()):  # ten times faster than testing each element
        return None
    finite = torch.isfinite(parts)  # the sum of finite numbers may overflow
    return None if finite.all() else f"{parts[~finite][0].item():g}"


def _describe(name: str, layer: nn.Module) -> str:
    return f"layer {name} ({type(layer).__name__})" if name else type(layer).__name__
