"""Another model for part of a call: in some layers, or in one layer for each context in turn."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from psp_nn.layers.layer import Layer
from psp_nn.layers.selection import EachSample, PerSample, Selection


@contextmanager
def using(layers: list[Layer], selection: Selection) -> Iterator[None]:
    """Select another model, and restore the selection and its operators at the end."""
    states = [layer.superposition for layer in layers]
    before = [(x.selection, x.operators, x.output_operators, x.bound_bases) for x in states]
    try:
        for layer in layers:
            layer.select(selection)
        yield
    finally:
        for state, values in zip(states, before, strict=True):
            state.selection, state.operators, state.output_operators, state.bound_bases = values


def each_model(
    layer: Layer,
    selection: EachSample,
    x: Tensor,
    apply: Callable[[Tensor], Tensor],
    *,
    trailing: int,
) -> Tensor:
    """Apply a function to each sample under `torch.vmap`, by one call for each context.

    Args:
        layer: A layer that uses the model of each sample.
        selection: Its selection.
        x: Its input, with any number of dimensions before the last `trailing`.
        apply: Function of the inputs of one context, which the layer then uses, with one dimension
            before the last `trailing`.
        trailing: Number of dimensions of one image.
    """
    batch, index = selection.batch, selection.index
    result: Tensor = _EachModel.apply(layer, batch, index, x, apply, trailing)
    return result


class _EachModel(torch.autograd.Function):
    """`torch.vmap` hands this all samples, in a known dimension, outside of its transform."""

    @staticmethod
    def forward(*args: Any) -> Any:
        """Refuse to run without `torch.vmap`."""
        raise NotImplementedError

    @staticmethod
    def setup_context(*args: Any) -> None:
        """Do nothing: autograd records the calls."""

    @staticmethod
    def vmap(
        info: Any,
        in_dims: Any,
        layer: Layer,
        batch: PerSample,
        index: Tensor,
        x: Tensor,
        apply: Callable[[Tensor], Tensor],
        trailing: int,
    ) -> tuple[Tensor, int]:
        """Sort the samples by context, and restore their order."""
        dim = in_dims[3]
        x = x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)
        if in_dims[2] is None:  # a vmap inside the network, not that over the samples
            return _EachModel.apply(layer, batch, index, x, apply, trailing), 0
        leading = x.shape[:-trailing]
        each = leading[1:].numel()
        images = x.index_select(0, batch.order.to(x.device)).flatten(0, -1 - trailing)
        parts = images.split([count * each for count in batch.counts])
        results = []
        with using([layer], layer.superposition.selection):
            for one, part in zip(batch.ones, parts, strict=True):
                layer.select(one)
                results.append(apply(part))
        y = torch.cat(results).unflatten(0, leading)
        return y.index_select(0, batch.back.to(x.device)), 0
