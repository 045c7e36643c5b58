"""Operators of each sample under `torch.vmap`, without loops over samples."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor
from torch._C import _functorch

from psp_contexts import Operator
from psp_contexts.operators import TensorOperator
from psp_nn.layers.layer import Layer
from psp_nn.layers.state import CachedOperator


class LookedUp(NamedTuple):
    """Operator of all samples for one side of a parameter."""

    layer: Layer
    name: str
    is_output: bool
    operator: Operator


def look_up_operators(layers: list[Layer], inputs: list[Tensor]) -> list[LookedUp]:
    """Look up the operators of the layers that bind samples, and collect their tensors."""
    found = []
    for layer in layers:
        for name in layer.superposition.superposed if layer.binds_samples else ():
            for is_output in (False, True):
                operator = layer.output_operator(name) if is_output else layer.operator(name)
                if isinstance(operator, TensorOperator):
                    inputs.extend(operator.tensors)
                if operator is not None:
                    found.append(LookedUp(layer, name, is_output, operator))
    return found


def place_operators(found: list[LookedUp], tensors: Iterator[Tensor]) -> None:
    """Give each layer its operators of one sample, whose tensors come in the same order."""
    for layer, name, is_output, operator in found:
        if isinstance(operator, TensorOperator):
            operator = operator.map(lambda _: next(tensors))
        else:
            operator = operator.reshape(*operator.batch_shape[1:])
        state, stored = layer.superposition, layer.stored(name)
        cache = state.output_operators if is_output else state.operators
        cache[name] = CachedOperator(operator, stored.dtype, stored.device)


@contextmanager
def without_loops_over_samples() -> Iterator[None]:
    """Let `torch.vmap` fail where it would run an operation for one sample after the other."""
    functorch: Any = _functorch  # torch describes no types of these
    before = functorch._is_vmap_fallback_enabled()
    functorch._set_vmap_fallback_enabled(False)
    try:
        yield
    finally:
        functorch._set_vmap_fallback_enabled(before)
