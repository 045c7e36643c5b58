"""Which layer classes have a superposed form."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from psp_nn._linear import SuperposedLinear
from psp_nn._selection import PerSample
from psp_nn._superposed import Superposed

KINDS: tuple[tuple[type[nn.Module], type[Superposed]], ...] = ((nn.Linear, SuperposedLinear),)
"""A layer class of torch, and the class of its superposed form."""


_made: dict[type[nn.Module], type[Superposed]] = {}


def superposed_class(plain: type[nn.Module]) -> type[Superposed] | None:
    """The class that holds many models in place of `plain`, or None if there is none.

    A subclass of a layer class keeps its own code: if its `forward` is another one, that is what
    runs, on the weights of the model in use, and a batch that mixes contexts runs it once for
    each context that occurs.
    """
    if issubclass(plain, Superposed):
        return None
    for base, superposed in KINDS:
        if plain is base:
            return superposed
        if issubclass(plain, base):
            if plain not in _made:
                same = plain.forward is base.forward
                own = {} if same else {"forward": _own_forward(plain.forward)}
                _made[plain] = type(f"Superposed{plain.__name__}", (superposed, plain), own)
            return _made[plain]
    return None


def _own_forward(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def run(layer: Superposed, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if isinstance(layer.selected, PerSample):
            return layer.by_context(
                x, lambda part: forward(layer, part, *args, **kwargs), trailing=1
            )
        return forward(layer, x, *args, **kwargs)

    return run
