"""All samples of a call at once, under `torch.vmap`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._C import _functorch
from torch.nn.attention import SDPBackend, sdpa_kernel

from psp_contexts import Operator
from psp_contexts.operators import TensorOperator
from psp_nn.layers.layer import Layer
from psp_nn.layers.selection import EachSample
from psp_nn.layers.state import CachedOperator
from psp_nn.layers.using import using
from psp_nn.mixed.call import Call, Layout, length, not_samples


def at_once(call: Call, layout: Layout) -> list[Any]:
    """Run all samples under `torch.vmap`; see `Call.join`."""
    leaves = list(zip(call.leaves, call.layout, strict=True))
    inputs = [x.unsqueeze(dim + 1).movedim(dim, 0) for x, dim in leaves if dim is not None]
    operators = _operators(call.layers)
    for *_, operator in operators:
        inputs += operator.tensors if isinstance(operator, TensorOperator) else ()
    runs: list[tuple[list[Any], list[Any]]] = []

    def run(index: Tensor, *given: Tensor) -> dict[int, Tensor]:
        tensors = iter(given)
        taken = [x if dim is None else next(tensors) for x, dim in leaves]
        with using(call.layers, EachSample.of(index, call.batch)):
            for layer, name, side, operator in operators:
                stored, now = layer.stored(name), getattr(layer.superposition, side)
                one = _of_one_sample(operator, tensors)
                now[name] = CachedOperator(one, stored.dtype, stored.device)
            runs.append((taken, call.run(taken)))
        level = _functorch.maybe_get_level(index)
        found = (x for x in [index, *runs[0][1]] if isinstance(x, Tensor))
        return {id(x): x for x in found if _functorch.maybe_get_level(x) == level}

    # vmap knows no other kernel of attention than this one, which is made of products.
    with _without_loops_over_samples(), sdpa_kernel(SDPBackend.MATH):
        results = torch.vmap(run, randomness="different")(call.batch.index, *inputs)

    def joined(dim: int | None, x: Tensor) -> Tensor:
        if id(x) not in results:
            return x if dim is None else x.repeat_interleave(call.count, dim)
        if dim is None or length(x, dim) != 1:
            raise not_samples(x)
        y: Tensor = results[id(x)]
        return y.squeeze(dim + 1).movedim(0, dim)

    return call.join(layout, runs, [1], joined)


def _operators(layers: list[Layer]) -> list[tuple[Layer, str, str, Operator]]:
    """Return the operators of all samples: layer, parameter, attribute of the state, operator."""
    sides = {"operators": Layer.operator, "output_operators": Layer.output_operator}
    return [
        (layer, name, side, operator)
        for layer in layers
        for name in (layer.superposition.superposed if layer.binds_samples else ())
        for side, look_up in sides.items()
        if (operator := look_up(layer, name)) is not None
    ]


def _of_one_sample(operator: Operator, tensors: Iterator[Tensor]) -> Operator:
    if isinstance(operator, TensorOperator):
        return operator.map(lambda _: next(tensors))
    return operator.reshape(*operator.batch_shape[1:])


@contextmanager
def _without_loops_over_samples() -> Iterator[None]:
    """Let `torch.vmap` fail where it would run an operation for one sample after the other."""
    functorch: Any = _functorch  # torch describes no types of these
    before = functorch._is_vmap_fallback_enabled()
    functorch._set_vmap_fallback_enabled(False)
    try:
        yield
    finally:
        functorch._set_vmap_fallback_enabled(before)
