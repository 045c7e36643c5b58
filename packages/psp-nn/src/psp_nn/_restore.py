"""Undoing what `superpose` does to the class of a layer."""

from torch import nn

from psp_nn._split_complex import Apart
from psp_nn.layers.layer import Layer
from psp_nn.layers.norm import Frozen
from psp_nn.layers.registry import KINDS
from psp_nn.layers.superposed import base_name, contexts_name

_KEPT_BY_SUPERPOSED = (
    "layer_name",
    "num_contexts",
    "superposed",
    "per_context",
    "selected",
    "parts",
    "part",
    "per_channel",
    "_operands",
    "_made_for",
    "uses",
    "_read",
)


def plain_class(kind: type[nn.Module]) -> type[nn.Module]:
    """The class that a layer had before it was made this one."""
    for plain, superposed in KINDS:
        if kind is superposed:
            return plain
    if issubclass(kind, Layer | Apart | Frozen) and kind.__bases__:
        return plain_class(kind.__bases__[-1])
    return kind


def forget(layer: Layer) -> None:
    """Leave nothing of the superposition but the tensors under the names of the plain layer."""
    for name in layer.superposed:
        del layer._modules[contexts_name(name)]
        layer._buffers.pop(base_name(name), None)
    for name in _KEPT_BY_SUPERPOSED:
        layer.__dict__.pop(name, None)
    set_class(layer, plain_class(type(layer)))
    if isinstance(layer, nn.RNNBase):
        layer._init_flat_weights()  # it keeps a list of its parameters


def set_class(layer: nn.Module, kind: type[nn.Module]) -> None:
    """Make a layer one of another class that stores the same."""
    layer.__class__ = kind
