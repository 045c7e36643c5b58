"""Attributes of layer classes that read as tensors of the model in use."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from psp_nn.layers.layer import Layer
from psp_nn.layers.read_only import MixedWeights, ReadOnly
from psp_nn.layers.selection import EachSample, PerSample


def superposed_parameter(name: str) -> Any:
    """Create the property of a layer class that reads a superposed parameter; see `Superposed`."""

    def parameter(layer: Layer) -> Any:
        mixed = _mixed(layer, name)
        if mixed is not None:
            return mixed
        value = read(layer.retrieved, name)
        if (
            layer.superposition.read_cache is not None  # the layer's own forward pass reads it
            or type(value) is not Tensor
            or torch.compiler.is_compiling()
            or torch._C._functorch.is_functorch_wrapped_tensor(value)
        ):
            return value
        value = ReadOnly.of(value, f"'{name}' of layer '{layer.superposition.name}'")
        # `weight_norm` reads a parameter, deletes it and then asks for others; see `Layer`.
        value.stored = layer._parameters.get(name)  # type: ignore[attr-defined]
        layer.superposition.last_read = weakref.ref(value)
        return value

    return property(parameter)


def entry_per_context(name: str) -> Any:
    """Create the property of a layer class that reads a shared or per-context tensor."""

    def entry(layer: Layer) -> Any:
        state = layer.superposition
        if state.parts == 1 and state.read_cache is None and name not in state.per_context:
            shared = layer._parameters.get(name)
            if shared is not None:  # every forward pass reads a bias
                return shared
        outside = isinstance(state.selection, PerSample) and name in state.per_context
        mixed = _mixed(layer, name) if outside else None
        return read(layer.entry, name) if mixed is None else mixed

    return property(entry)


def _mixed(layer: Layer, name: str) -> MixedWeights | None:
    """Return the metadata of a tensor while the batch mixes contexts, and None otherwise."""
    state = layer.superposition
    if not isinstance(state.selection, PerSample | EachSample) or name in (state.read_cache or {}):
        return None
    table = layer.table(name)
    if table is None:
        return None
    leading = (name in state.per_context) + (state.parts == 2)
    like = table[(0,) * leading]
    return MixedWeights.of(like, f"'{name}' of layer '{state.name}'")


def read(getter: Callable[[str], Any], name: str) -> Any:
    """Return `getter(name)` for a property, and raise its AttributeError as a RuntimeError.

    After an AttributeError in a property nn.Module would look the name up among its parameters.
    """
    try:
        return getter(name)
    except AttributeError as error:
        raise RuntimeError(f"'{name}' cannot be read as that of one model: {error}") from error
