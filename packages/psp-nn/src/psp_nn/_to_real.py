"""Conversion of complex networks to ordinary real ones of twice the width."""

from typing import Any

import torch
from torch import Tensor, nn

from psp_nn._context_index import superposed_layers
from psp_nn._restore import plain_class, set_class, strip_superposition
from psp_nn._split_complex import SplitComplex, real_input, real_part
from psp_nn.layers.layer import Layer
from psp_nn.layers.linear_per_context import LinearPerContext
from psp_nn.layers.selection import One


def make_real(net: nn.Module, example: Tensor) -> None:
    """Convert a complex superposed network to an ordinary real one, in place.

    A complex vector z becomes the real one [Re z, Im z], and W the matrix [[Re W, −Im W],
    [Im W, Re W]]. Activations that act on both parts separately act on it as on any real vector.
    Layers that take real input keep the left half of the matrix. The last layer, whose real part
    is the output, keeps the upper half.

    Args:
        net: A copy in evaluation mode, with the context selected.
        example: An input. It shows which layers take real input, and checks the result.

    Raises:
        ValueError: If a layer has no real form, or the outputs for the example differ.
    """
    takes_complex: dict[Layer, bool] = {}

    def record(layer: nn.Module, args: tuple[Any, ...]) -> None:
        assert isinstance(layer, Layer)
        is_complex, name = args[0].is_complex(), layer.superposition.name
        if takes_complex.pop(layer, is_complex) != is_complex:
            raise ValueError(f"retrieve: layer '{name}' takes both real and complex input.")
        takes_complex[layer] = is_complex  # keeps the layers in the order of their last call

    layers = superposed_layers(net)
    hooks = [layer.register_forward_pre_hook(record) for layer in layers]
    with torch.no_grad():
        expected = net(example)
    for hook in hooks:
        hook.remove()
    # A layer of which each model has its own takes the real part.
    last = [layer for layer in takes_complex if layer.superposition.parts == 1][-1]
    for layer in layers:
        state = layer.superposition
        if layer not in takes_complex:
            raise ValueError(f"retrieve: layer '{state.name}' did not run on the example.")
        if state.superposed:
            _double(layer, takes_complex[layer], layer is last)
        elif isinstance(layer, LinearPerContext):
            _widen_input(layer, takes_complex[layer])
        else:
            _double_norm(layer, takes_complex[layer])
        strip_superposition(layer)
    for module in net.modules():
        if isinstance(module, SplitComplex):
            set_class(module, plain_class(type(module)))
        before = module._forward_pre_hooks
        for key in [key for key, hook in before.items() if hook is real_input]:
            del before[key]
    for key in [key for key, hook in net._forward_hooks.items() if hook is real_part]:
        del net._forward_hooks[key]
    _check_output(net, example, expected)


@torch.no_grad()
def _check_output(net: nn.Module, example: Tensor, expected: Tensor) -> None:
    tolerance = 1e3 * torch.finfo(expected.dtype).eps
    try:
        agree = torch.allclose(net(example), expected, rtol=tolerance, atol=tolerance)
    except (RuntimeError, ValueError):  # the shapes within the network do not fit
        agree = False
    if not agree:
        raise ValueError(
            "retrieve: this complex network has no ordinary form of twice the width: a layer mixes "
            "units of both parts, or the output is not that of the last superposed layer."
        )


@torch.no_grad()
def _double(layer: Layer, takes_complex: bool, is_last: bool) -> None:
    """Double the width of a layer with a superposed weight."""
    if getattr(layer, "groups", 1) > 1:
        name = layer.superposition.name
        raise ValueError(f"retrieve: layer '{name}' has groups, and no real form.")
    embedding = isinstance(layer, nn.Embedding)
    out_dim = 1 if embedding or getattr(layer, "transposed_kernel", False) else 0
    weight = layer.retrieved()
    upper, lower = weight.real, weight.imag
    if takes_complex:
        upper, lower = (
            torch.cat([upper, -lower], 1 - out_dim),
            torch.cat([lower, upper], 1 - out_dim),
        )
    matrix = upper if is_last else torch.cat([upper, lower], out_dim)
    _set_parameter(layer, "weight", matrix)
    if layer._parameters.get("bias") is not None:
        bias = layer.entry("bias")
        _set_parameter(layer, "bias", bias.real if is_last else torch.cat([bias.real, bias.imag]))
    for name in ("embedding_dim",) if embedding else ("out_features", "out_channels"):
        if hasattr(layer, name):
            layer.__dict__[name] = matrix.shape[out_dim]
    for name in ("in_features", "in_channels"):
        if hasattr(layer, name):
            layer.__dict__[name] = matrix.shape[1 - out_dim]


@torch.no_grad()
def _widen_input(layer: LinearPerContext, takes_complex: bool) -> None:
    """Ignore the imaginary half of the input of a layer that takes the real part."""
    weight, bias = layer.weight, layer.bias
    if takes_complex:
        weight = torch.cat([weight, torch.zeros_like(weight)], 1)
        layer.in_features *= 2
    _set_parameter(layer, "weight", weight)
    if bias is not None:
        _set_parameter(layer, "bias", bias)


@torch.no_grad()
def _double_norm(layer: Layer, takes_complex: bool) -> None:
    """Join the tables for the real and the imaginary part of a norm layer."""
    state = layer.superposition
    assert isinstance(state.selection, One)
    for name, table in [*layer._parameters.items(), *layer._buffers.items()]:
        if table is None:
            continue
        parts = state.selection.row(table) if name in state.per_context else table
        entry = parts.flatten(0, 1) if takes_complex and parts.dim() > 1 else parts[0]
        if name in layer._parameters:
            _set_parameter(layer, name, entry)
        else:
            layer._buffers[name] = entry.clone()
    for name in ("num_features", "num_groups", "num_channels"):
        if takes_complex and hasattr(layer, name):
            layer.__dict__[name] *= 2


def _set_parameter(layer: Layer, name: str, value: Tensor) -> None:
    previous = layer._parameters[name]
    assert previous is not None
    layer._parameters[name] = nn.Parameter(value.clone().contiguous(), previous.requires_grad)
