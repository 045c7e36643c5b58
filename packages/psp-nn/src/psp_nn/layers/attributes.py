"""Attributes of layer classes that read as tensors of the model in use."""

from collections.abc import Callable
from typing import Any

from psp_nn.layers.layer import Layer


def superposed_parameter(name: str) -> Any:
    """Create the property of a layer class that reads a superposed parameter; see `Superposed`."""
    return property(lambda layer: read(layer.retrieved, name))


def entry_per_context(name: str) -> Any:
    """Create the property of a layer class that reads a shared or per-context tensor."""

    def entry(layer: Layer) -> Any:
        state = layer.superposition
        if state.parts == 1 and state.read_cache is None and name not in state.per_context:
            shared = layer._parameters.get(name)
            if shared is not None:  # every forward pass reads a bias
                return shared
        return read(layer.entry, name)

    return property(entry)


def read(getter: Callable[[str], Any], name: str) -> Any:
    """Return `getter(name)` for a property, and raise its AttributeError as a RuntimeError.

    After an AttributeError in a property nn.Module would look the name up among its parameters.
    """
    try:
        return getter(name)
    except AttributeError as error:
        raise RuntimeError(f"'{name}' cannot be read as that of one model: {error}") from error
