"""Patches of the input of a convolution: what its kernel sees at each position."""

from typing import Any

from torch import Tensor
from torch.nn import functional as F


def output_shape(layer: Any, x: Tensor) -> tuple[int, ...]:
    """Return the spatial shape of the output of a plain convolution."""
    dims, padding = len(layer.kernel_size), layer._reversed_padding_repeated_twice[::-1]
    shape = []
    for i, size in enumerate(layer.kernel_size):
        length = x.shape[i - dims] + padding[2 * i] + padding[2 * i + 1]
        shape.append((length - layer.dilation[i] * (size - 1) - 1) // layer.stride[i] + 1)
    return tuple(shape)


def patches(layer: Any, x: Tensor) -> Tensor:
    """Return the patches of a plain convolution.

    Args:
        layer: The convolution.
        x: Shape (…, channels, *positions).

    Returns:
        Shape (…, groups, output positions, dim), with the entries in the order of `to_outputs`.
    """
    dims = len(layer.kernel_size)
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    x = F.pad(x, layer._reversed_padding_repeated_twice, mode=mode)
    for i, size in enumerate(layer.kernel_size):  # a view (…, channels, *positions, *kernel)
        window = layer.dilation[i] * (size - 1) + 1
        x = x.unfold(-dims, window, layer.stride[i])[..., :: layer.dilation[i]]
    x = x.movedim([*range(-2 * dims, -dims)], [*range(-dims, 0)])
    x = x.unflatten(-2 * dims - 1, (layer.groups, -1)).flatten(-2 * dims - 1, -dims - 1)
    return x.flatten(-dims).mT
