"""Checks of the inputs of superposed layers, where the ordinary layer would not fail by itself.

Contexts are multiplied with inputs, which broadcasts and promotes where the product with a weight
raises an error. And torch multiplies a tensor with a meta weight, which has no data.
"""

import torch
from torch import Tensor

from psp_nn.layers.layer import Layer

COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}
"""Dtype of the complex weights that take a real input, by its dtype."""


def check_features(
    layer: Layer, x: Tensor, weight: Tensor, features: int, *, name: str = "input", dim: int = -1
) -> None:
    """Check an input (…, features, …) against the dtype and device of a layer's weight.

    Args:
        layer: A superposed layer.
        x: Input.
        weight: Weight of the layer as it is stored.
        features: Length of the dimension `dim` of x.
        name: Name of the input in an error.
        dim: A negative dimension.

    Raises:
        TypeError: If x has another dtype and autocast is off.
        ValueError: If x has another shape or is on another device.
    """
    check_device(layer, x, weight, name)
    if x.dtype != weight.dtype and COMPLEX.get(x.dtype) != weight.dtype and not autocasts(x):
        raise TypeError(
            f"layer '{layer.superposition.name}' has weights of {weight.dtype}, but its {name} is "
            f"{x.dtype}; convert one of them, for example with .to({weight.real.dtype})."
        )
    if x.dim() < -dim or x.shape[dim] != features:
        raise ValueError(
            f"layer '{layer.superposition.name}' needs {features} features along dimension {dim} "
            f"of its {name}, but got shape {tuple(x.shape)}."
        )


def autocasts(x: Tensor) -> bool:
    """Return True if autocast is on for a tensor; of devices without it torch raises an error."""
    device = x.device.type
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def check_device(layer: Layer, x: Tensor, weight: Tensor, name: str = "input") -> None:
    """Check that an input is on the device of a layer's weight.

    Raises:
        ValueError: If it is on another one.
    """
    if x.device != weight.device:
        raise ValueError(
            f"layer '{layer.superposition.name}' is on {weight.device}, but its {name} on "
            f"{x.device}; move one of them."
        )
