"""One model after the other, for layers that cannot serve a batch that mixes them in one pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from psp_nn.layers.layer import Layer
from psp_nn.layers.selection import One, PerSample


def loop_over_contexts(
    layer: Layer, x: Tensor, apply: Callable[[Tensor], Tensor], *, trailing: int
) -> Tensor:
    """Apply a function to the samples of each context in turn, and restore their order.

    The arithmetic costs as much as with one context.
    """
    selection = layer.superposition.selection
    assert isinstance(selection, PerSample)
    selection.check(x, layer.superposition.name, trailing=trailing)
    dim, index = selection.batch_dim, selection.index
    order = index.argsort(stable=True)
    present, counts = torch.unique_consecutive(index[order], return_counts=True)
    # An empty batch is one empty group, which any model may serve.
    groups = x.index_select(dim, order.to(x.device)).split(counts.tolist() or [0], dim)
    outputs = []
    with one_model_at_a_time(layer) as select:
        for k, group in zip(present.tolist() or [0], groups, strict=True):
            select(k)
            outputs.append(apply(group))
    return torch.cat(outputs, dim).index_select(dim, order.argsort().to(x.device))


@contextmanager
def one_model_at_a_time(layer: Layer) -> Iterator[Callable[[int], None]]:
    """Yield a function that selects one model in a layer and in the layers inside it."""
    states = {
        module: module.superposition for module in layer.modules() if isinstance(module, Layer)
    }
    before = {module: state.selection for module, state in states.items()}

    def select(index: int) -> None:
        selection = One.of(index)
        for module in states:
            module.select(selection)

    layer.note_use()
    try:
        for state in states.values():
            state.guard.paused = True  # the mixed batch has been recorded
        yield select
    finally:
        for module, state in states.items():
            module.select(before[module])
            state.guard.paused = False
