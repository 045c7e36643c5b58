"""Contexts on the output side of superposed parameters."""

from typing import NamedTuple

import torch
from torch import Tensor

from psp_contexts import PermutationContexts
from psp_nn.layers.layer import Layer


class _Layout(NamedTuple):
    """Layout of the output units of a parameter, by its view in `Superposed.to_outputs`."""

    shape: torch.Size
    stride: tuple[int, ...]
    block_size: int
    groups: int


class OutputSides:
    """Permutations of the output units of all parameters of one network.

    A parameter that several layers share is read in one way, and so permuted only if all of them
    ask for it and have their output units in the same layout.
    """

    def __init__(self, num_contexts: int, seed: int) -> None:
        self._num_contexts = num_contexts
        self._seed = seed
        self._layouts: dict[int, _Layout | None] = {}  # by the id of a parameter

    def note(self, layer: Layer, key: str, *, two_sided: bool) -> None:
        """Note that a layer reads a parameter, and whether with contexts on its output side."""
        weight, layout = layer.stored(key), None
        outputs, block_size = layer.to_outputs(key, weight), layer.output_block(key)
        if two_sided and outputs.shape[-2] > block_size:  # else there is nothing to permute
            layout = _Layout(outputs.shape, outputs.stride(), block_size, layer.output_groups)
        if self._layouts.setdefault(id(weight), layout) != layout:
            self._layouts[id(weight)] = None

    def draw(self, weight: Tensor, label: str) -> PermutationContexts | None:
        """Return the contexts on the output side of a noted parameter, or None if it has none."""
        layout = self._layouts[id(weight)]
        if layout is None:
            return None
        return PermutationContexts(
            layout.shape[-2],
            self._num_contexts * layout.groups,
            seed=self._seed,
            name=f"{label}.outputs".lstrip("."),
            block_size=layout.block_size,
        )
