"""Another model for part of a call."""

from collections.abc import Iterator
from contextlib import contextmanager

from psp_nn.layers.layer import Layer
from psp_nn.layers.selection import Selection


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
