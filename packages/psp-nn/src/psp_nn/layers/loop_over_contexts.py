"""One model after the other, for layers that cannot serve a batch that mixes them in one pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from psp_nn.layers.layer import Layer, one
from psp_nn.layers.selection import PerSample


def by_context(
    layer: Layer, x: Tensor, apply: Callable[[Tensor], Tensor], *, trailing: int
) -> Tensor:
    """`apply` to the samples of each context that occurs, put back in order.

    For layers whose contexts act on the weights: as much arithmetic as one context.
    """
    selected = layer.selected
    assert isinstance(selected, PerSample)
    selected.check(x, layer.layer_name, trailing=trailing)
    dim, index = selected.batch_dim, selected.index
    order = index.argsort(stable=True)
    present, counts = torch.unique_consecutive(index[order], return_counts=True)
    # A batch without samples is one part, which any model may serve.
    parts = x.index_select(dim, order.to(x.device)).split(counts.tolist() or [0], dim)
    done = []
    with each_alone(layer) as select:
        for k, part in zip(present.tolist() or [0], parts, strict=True):
            select(k)
            done.append(apply(part))
    return torch.cat(done, dim).index_select(dim, order.argsort().to(x.device))


@contextmanager
def each_alone(layer: Layer) -> Iterator[Callable[[int], None]]:
    """Within this, one model after the other can be selected, here and in what is inside."""
    layers = [module for module in layer.modules() if isinstance(module, Layer)]
    before = [each.selected for each in layers]

    def select(index: int) -> None:
        selection = one(index)
        for each in layers:
            each.select(selection)

    layer.note_use()
    try:
        for each in layers:
            each.uses.hidden = True  # one after the other they are the batch that is noted
        yield select
    finally:
        for each, selection in zip(layers, before, strict=True):
            each.select(selection)
            each.uses.hidden = False
