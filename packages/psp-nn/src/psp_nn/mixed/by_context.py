"""The samples of a call by one run for each context."""

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from psp_nn.layers.selection import One
from psp_nn.layers.using import using
from psp_nn.mixed.call import Call, Layout, length, not_samples


def by_context(call: Call, layout: Layout, groups: list[tuple[One, Tensor]]) -> list[Any]:
    """Run the samples of each model, which are at these positions; see `Call.join`."""
    runs = [run_part(call, one, at) for one, at in groups]
    lengths = [len(at) for _, at in groups]
    back = torch.cat([at for _, at in groups]).argsort()

    def joined(dim: int | None, *values: Tensor) -> Tensor:
        if dim is not None and [length(x, dim) for x in values] == lengths:
            return torch.cat(values, dim).index_select(dim, back.to(values[0].device))
        if dim is None and all(torch.equal(x, values[0]) for x in values[1:]):
            return values[0]
        raise not_samples(values[0])

    result = call.join(layout, runs, lengths, joined)
    parts = zip(*[taken for taken, _ in runs], strict=True)
    for whole, dim, values in zip(call.leaves, call.layout, parts, strict=True):
        if isinstance(whole, Tensor) and any(x._version for x in values):  # changed in place
            whole.copy_(joined(dim, *values))
    return result


def run_part(call: Call, one: One, at: Tensor) -> tuple[list[Any], list[Any]]:
    """Run samples with one model, and return the leaves that the run takes and returns."""
    taken = select(call, at)
    with using(call.layers, one):
        return taken, call.run(taken)


def select(call: Call, at: Tensor) -> list[Any]:
    """Return copies of the leaves, with the samples at these positions."""
    leaves = list(zip(call.leaves, call.layout, strict=True))
    # Inference tensors do not count changes in place.
    with torch.inference_mode(False) if torch.is_inference_mode_enabled() else nullcontext():
        copies = {  # one tensor may be given twice
            (id(x), dim): x.clone() if dim is None else x.index_select(dim, at.to(x.device))
            for x, dim in leaves
            if isinstance(x, Tensor)
        }
    return [copies.get((id(x), dim), x) for x, dim in leaves]
