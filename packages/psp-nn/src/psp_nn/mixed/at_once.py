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
    """Run all samples under `torch.vmap`."""
    leaves = list(zip(call.leaves, call.layout, strict=True))
    operators = _operators(call.layers)
    parts: list[Any] = []
    returned: list[Any] = []

    def run(index: Tensor, each: list[Tensor], tensors: list[tuple[Tensor, ...]]) -> Any:
        samples = iter(each)
        parts.extend(x if dim is None else next(samples) for x, dim in leaves)
        with using(call.layers, EachSample.of(index, call.batch)):
            for (layer, name, is_output, operator), own in zip(operators, tensors, strict=True):
                _place(layer, name, is_output, _of_one_sample(operator, own))
            returned.extend(call.run(parts))
        level = _functorch.maybe_get_level(index)
        found = [index, *(x for x in returned if isinstance(x, Tensor))]
        return {id(x): x for x in found if _functorch.maybe_get_level(x) == level}

    each = [x.unsqueeze(dim + 1).movedim(dim, 0) for x, dim in leaves if dim is not None]
    # vmap knows no other kernel of attention than this one, which is made of products.
    with _without_loops_over_samples(), sdpa_kernel(SDPBackend.MATH):
        tensors = [_tensors(operator) for *_, operator in operators]
        results = torch.vmap(run, randomness="different")(call.batch.index, each, tensors)

    def joined(dim: int | None, x: Tensor) -> Tensor:
        if id(x) not in results:
            return x if dim is None else x.repeat_interleave(len(call.batch.index), dim)
        if dim is None or length(x, dim) != 1:
            raise not_samples(x)
        y: Tensor = results[id(x)]
        return y.squeeze(dim + 1).movedim(0, dim)

    return call.join(layout, [parts], [returned], [1], joined)


def _operators(layers: list[Layer]) -> list[tuple[Layer, str, bool, Operator]]:
    """Return the operators of all samples, by layer, parameter and whether on its output side."""
    return [
        (layer, name, is_output, operator)
        for layer in layers
        if layer.binds_samples
        for name in layer.superposition.superposed
        for is_output, look_up in ((False, layer.operator), (True, layer.output_operator))
        if (operator := look_up(name)) is not None
    ]


def _tensors(operator: Operator) -> tuple[Tensor, ...]:
    return operator.tensors if isinstance(operator, TensorOperator) else ()


def _place(layer: Layer, name: str, is_output: bool, operator: Operator) -> None:
    """Give the layer the operator of one sample."""
    state, stored = layer.superposition, layer.stored(name)
    cache = state.output_operators if is_output else state.operators
    cache[name] = CachedOperator(operator, stored.dtype, stored.device)


def _of_one_sample(operator: Operator, tensors: tuple[Tensor, ...]) -> Operator:
    if isinstance(operator, TensorOperator):
        return type(operator)(*tensors)
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
