"""Undo the class changes that `superpose` makes."""

from torch import nn

from psp_nn._split_complex import SplitComplex, split_complex_class
from psp_nn.layers.batch_norm import Frozen, frozen_class
from psp_nn.layers.layer import Layer
from psp_nn.layers.linear_per_context import NUM_OUTPUTS
from psp_nn.layers.model_record import RECORD_NAME
from psp_nn.layers.registry import KINDS, superposed_form
from psp_nn.layers.superposed import base_name, contexts_name, output_contexts_name


def plain_class(kind: type[nn.Module]) -> type[nn.Module]:
    """Return the class that a layer had before its conversion."""
    for plain, superposed in KINDS:
        if kind is superposed:
            return plain
    if issubclass(kind, Layer | SplitComplex | Frozen) and kind.__bases__:
        return plain_class(kind.__bases__[-1])
    return kind


def strip_superposition(layer: Layer) -> None:
    """Make an ordinary layer of the tensors that a layer holds under the original names."""
    for name in layer.superposition.superposed:
        del layer._modules[contexts_name(name)]
        layer._modules.pop(output_contexts_name(name), None)
        layer._buffers.pop(base_name(name), None)
    for name in layer.superposition.per_context:
        layer._buffers.pop(base_name(name), None)
    layer._modules.pop(RECORD_NAME, None)
    if layer._buffers.pop(NUM_OUTPUTS, None) is not None:
        layer.__dict__["out_features"] = len(layer.stored())
    del layer.superposition
    set_class(layer, plain_class(type(layer)))
    if isinstance(layer, nn.RNNBase):
        layer._init_flat_weights()  # torch keeps a list of the parameters


def set_class(layer: nn.Module, kind: type[nn.Module]) -> None:
    """Change the class of a layer to one with the same attributes."""
    layer.__class__ = kind


_MIXINS = (("frozen", Frozen), ("superposed", Layer), ("split", SplitComplex))


def mixins_of(kind: type[nn.Module]) -> tuple[str, ...]:
    """Return what `superpose` made of a class, in the order in which it does."""
    return tuple(name for name, mixin in _MIXINS if issubclass(kind, mixin))


def make_again(plain: type[nn.Module], mixins: tuple[str, ...]) -> nn.Module:
    """Create a layer without attributes, of the class that `mixins_of` describes."""
    kind = frozen_class(plain) if "frozen" in mixins else plain
    if "superposed" in mixins:
        kind = superposed_form(kind)
    if "split" in mixins:
        kind = split_complex_class(kind) or kind
    return kind.__new__(kind)
