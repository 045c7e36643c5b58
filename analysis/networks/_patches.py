"""Patches of the input of a convolution, chosen before they are formed."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def sample_patches(layer: Any, x: Tensor, *, max_rows: int, generator: torch.Generator) -> Tensor:
    """Return patches at random positions of a batch, without repetition.

    Args:
        layer: A superposed convolution, plain or transposed. Where contexts act on channels, its
            patches are the vectors of channels, one for each position of the input.
        x: Its input, shape (batch, channels, *positions) or (channels, *positions).
        max_rows: Largest number of patches.
        generator: Generator that chooses the positions.

    Returns:
        Shape (n, dim), or (groups, n, dim), with the entries in the order of `to_rows`.
    """
    dims = len(layer.kernel_size)
    if x.dim() == dims + 1:
        x = x.unsqueeze(0)
    if layer.superposition.per_channel:
        windows = x[(..., *[None] * dims)]
    elif layer.transposed:
        windows = _transposed_windows(layer, x)
    else:
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        padding = layer._reversed_padding_repeated_twice  # 'same' and 'valid' as lengths, too
        windows = _windows(layer, F.pad(x, padding, mode=mode), layer.stride)
    shape = (len(windows), *windows.shape[2 : 2 + dims])
    positions = sample(math.prod(shape), max_rows, generator).to(x.device)
    at = torch.unravel_index(positions, shape)
    patches = windows.movedim(1, 1 + dims)[at]  # (n, channels, *kernel): no other is formed
    rows: Tensor = patches.unflatten(1, (layer.groups, -1)).flatten(2).movedim(1, 0)
    return rows[0] if layer.groups == 1 else rows


def sample(count: int, most: int, generator: torch.Generator) -> Tensor:
    """Return `most` different indices below `count` in ascending order, or all if fewer."""
    if count <= most:
        return torch.arange(count)
    return torch.randperm(count, generator=generator)[:most].sort().values


def _transposed_windows(layer: Any, x: Tensor) -> Tensor:
    """Return the windows of a transposed convolution: those of its input spread by the stride.

    Where an output has no input at some position of the kernel, the window is zero.
    """
    padding: list[int] = []
    for dim, stride in enumerate(layer.stride):
        spread = x.new_zeros(
            *x.shape[: 2 + dim], (x.shape[2 + dim] - 1) * stride + 1, *x.shape[3 + dim :]
        )
        at: list[Any] = [slice(None)] * x.dim()
        at[2 + dim] = slice(None, None, stride)
        spread[tuple(at)] = x
        x = spread
        margin = layer.dilation[dim] * (layer.kernel_size[dim] - 1) - layer.padding[dim]
        padding = [margin, margin + layer.output_padding[dim], *padding]
    windows = _windows(layer, F.pad(x, padding), (1,) * len(layer.stride))
    return windows.flip(list(range(-len(layer.stride), 0)))


def _windows(layer: Any, x: Tensor, stride: tuple[int, ...]) -> Tensor:
    """Return a view (batch, channels, *positions, *kernel) of a padded input."""
    for dim, size in enumerate(layer.kernel_size):
        dilation = layer.dilation[dim]
        x = x.unfold(2 + dim, dilation * (size - 1) + 1, stride[dim])[..., ::dilation]
    return x
