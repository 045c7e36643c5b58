"""Complex networks as ordinary real ones of twice the width."""

from typing import Any

import torch
from torch import Tensor, nn

from psp_nn._eval_mode import running
from psp_nn._restore import plain_class, set_class, strip_superposition
from psp_nn._split_complex import SplitComplex, real_part
from psp_nn._use_context import superposed_layers
from psp_nn.layers.layer import Layer
from psp_nn.layers.selection import One


def make_real(net: nn.Module, example: Tensor) -> None:
    """Turn a complex superposed network into an ordinary one for the context in use, in place.

    A complex vector z becomes the real one [Re z, Im z], and W the matrix [[Re W, −Im W],
    [Im W, Re W]], on which activations of both parts apart act as on any real vector. Layers that
    take real input keep the left half, the last one, whose real part is the output, the upper.

    Args:
        net: A copy in evaluation mode, with the context in use.
        example: An input, which shows what layers see, and that both networks agree.

    Raises:
        ValueError: If a layer has no real form, or the networks do not agree.
    """
    takes_complex: dict[Layer, bool] = {}

    def watch(layer: nn.Module, args: tuple[Any, ...]) -> None:
        assert isinstance(layer, Layer)
        is_complex = args[0].is_complex()
        if takes_complex.pop(layer, is_complex) != is_complex:
            raise ValueError(
                f"retrieve: layer '{layer.superposition.name}' takes real and complex input "
                "in turn."
            )
        takes_complex[layer] = is_complex  # the last to run is the last in here

    handles = [layer.register_forward_pre_hook(watch) for layer in superposed_layers(net)]
    with torch.no_grad(), running("net", "example", example):
        expected = net(example)
    for handle in handles:
        handle.remove()
    weighted = [layer for layer in takes_complex if layer.superposition.superposed]
    for layer in superposed_layers(net):
        if layer not in takes_complex:
            raise ValueError(
                f"retrieve: layer '{layer.superposition.name}' did not run on the example."
            )
        if layer.superposition.superposed:
            _double(layer, takes_complex[layer], layer is weighted[-1])
        else:
            _double_norm(layer, takes_complex[layer])
        strip_superposition(layer)
    for module in net.modules():
        if isinstance(module, SplitComplex):
            set_class(module, plain_class(type(module)))
    for key in [key for key, hook in net._forward_hooks.items() if hook is real_part]:
        del net._forward_hooks[key]
    _compare(net, example, expected)


def _compare(net: nn.Module, example: Tensor, expected: Tensor) -> None:
    tolerance = 1e3 * torch.finfo(expected.dtype).eps
    try:
        with torch.no_grad():
            found = net(example)
        agree = torch.allclose(found, expected, rtol=tolerance, atol=tolerance)
    except RuntimeError:
        agree = False
    if not agree:
        raise ValueError(
            "retrieve: this complex network has no ordinary form of twice the width: a layer mixes "
            "the units of the two parts, or the output is not that of the last superposed layer."
        )


@torch.no_grad()
def _double(layer: Layer, takes_complex: bool, is_last: bool) -> None:
    if getattr(layer, "groups", 1) > 1:
        raise ValueError(
            f"retrieve: layer '{layer.superposition.name}' has groups, and no real form."
        )
    embedding = isinstance(layer, nn.Embedding)
    outputs = 1 if embedding or getattr(layer, "transposed_kernel", False) else 0
    weight = layer.retrieved()
    upper, lower = weight.real, weight.imag
    if takes_complex:
        upper, lower = (
            torch.cat([upper, -lower], 1 - outputs),
            torch.cat([lower, upper], 1 - outputs),
        )
    whole = upper if is_last else torch.cat([upper, lower], outputs)
    _set_parameter(layer, "weight", whole)
    if layer._parameters.get("bias") is not None:
        bias = layer.entry("bias")
        _set_parameter(layer, "bias", bias.real if is_last else torch.cat([bias.real, bias.imag]))
    for name in ("embedding_dim",) if embedding else ("out_features", "out_channels"):
        if hasattr(layer, name):
            layer.__dict__[name] = whole.shape[outputs]
    for name in ("in_features", "in_channels"):
        if hasattr(layer, name):
            layer.__dict__[name] = whole.shape[1 - outputs]


@torch.no_grad()
def _double_norm(layer: Layer, takes_complex: bool) -> None:
    assert isinstance(layer.superposition.selection, One)
    for name, value in [*layer._parameters.items(), *layer._buffers.items()]:
        if value is None:
            continue
        parts = (
            layer.superposition.selection.row(value)
            if name in layer.superposition.per_context
            else value
        )
        entry = parts.flatten(0, 1) if takes_complex and parts.dim() > 1 else parts[0]
        if name in layer._parameters:
            _set_parameter(layer, name, entry)
        else:
            layer._buffers[name] = entry.clone()
    for name in ("num_features", "num_groups", "num_channels"):
        if takes_complex and hasattr(layer, name):
            layer.__dict__[name] *= 2


def _set_parameter(layer: Layer, name: str, value: Tensor) -> None:
    before = layer._parameters[name]
    assert before is not None
    layer._parameters[name] = nn.Parameter(value.clone().contiguous(), before.requires_grad)
