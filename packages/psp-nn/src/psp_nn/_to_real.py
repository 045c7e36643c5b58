"""Conversion of complex networks to ordinary real ones of twice the width."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

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
    is the output, keeps the upper half, and norms after it the tables of the real part.

    Args:
        net: A copy in evaluation mode, with the context selected.
        example: An input. It shows which layers take real input, and checks the result.

    Raises:
        ValueError: If a layer has no real form, or the outputs differ for the example or, if it
            is floating, for random numbers of its shape.
    """
    inputs = [example]
    if example.is_floating_point():  # an example of zeros would hide differences
        generator = torch.Generator().manual_seed(0)
        inputs.append(torch.rand(example.shape, generator=generator).to(example))
    takes_complex = _trace(net, example)
    with torch.no_grad():
        expected = [net(x) for x in inputs]
    order = list(takes_complex)
    # A layer of which each model has its own takes the real part.
    last = max(i for i, layer in enumerate(order) if layer.superposition.parts == 1)
    for i, layer in enumerate(order):
        if layer.superposition.superposed:
            _double(layer, takes_complex[layer], i == last)
        elif isinstance(layer, LinearPerContext):
            _widen_input(layer, takes_complex[layer])
        else:
            _double_norm(layer, takes_complex[layer] and i < last)
        strip_superposition(layer)
    for module in net.modules():
        if isinstance(module, SplitComplex):
            set_class(module, plain_class(type(module)))
        _remove(module._forward_pre_hooks, real_input)
    _remove(net._forward_hooks, real_part)
    if not all(_agree(net, x, y) for x, y in zip(inputs, expected, strict=True)):
        raise ValueError(
            "retrieve: this complex network has no ordinary form of twice the width: a layer mixes "
            "units of both parts, or the output is not that of the last superposed layer."
        )


def _trace(net: nn.Module, example: Tensor) -> dict[Layer, bool]:
    """Return whether each superposed layer takes complex input, in the order of their last calls.

    Raises:
        ValueError: If a layer takes both or does not run, or one that is left out takes the real
            part in the middle of the network.
    """
    takes_complex: dict[Layer, bool] = {}
    takes_real_part: dict[str, int] = {}  # with the number of layers called before
    names = {module: name for name, module in net.named_modules()}

    def record(layer: nn.Module, args: tuple[Any, ...]) -> None:
        is_complex = any(isinstance(x, Tensor) and x.is_complex() for x in args)
        if not isinstance(layer, Layer):
            if is_complex:
                takes_real_part.setdefault(names[layer], len(calls))
            return
        if takes_complex.pop(layer, is_complex) != is_complex:
            raise ValueError(f"retrieve: layer '{names[layer]}' takes both real and complex input.")
        takes_complex[layer] = is_complex
        calls.append(layer)

    calls: list[Layer] = []
    hooks = [
        module.register_forward_pre_hook(record, prepend=True)
        for module in names
        if isinstance(module, Layer) or real_input in module._forward_pre_hooks.values()
    ]
    with torch.no_grad():
        net(example)
    for hook in hooks:
        hook.remove()
    for layer in superposed_layers(net):
        if layer not in takes_complex:
            raise ValueError(f"retrieve: layer '{names[layer]}' did not run on the example.")
    for name, position in takes_real_part.items():
        after = [layer for layer in calls[position:] if layer.superposition.parts == 1]
        if after:
            raise ValueError(
                f"retrieve: layer '{name}' is left out of this complex network and takes the real "
                f"part of its input, before layer '{names[after[0]]}', which is not: there is no "
                "ordinary form of twice the width."
            )
    return takes_complex


def _remove(hooks: dict[int, Any], unwanted: Any) -> None:
    for key in [key for key, hook in hooks.items() if hook is unwanted]:
        del hooks[key]


@torch.no_grad()
def _agree(net: nn.Module, x: Tensor, expected: Any) -> bool:
    """Return True if the outputs of a network have the expected shapes and values."""
    try:
        outputs = net(x)
    except (RuntimeError, ValueError):  # the shapes within the network do not fit
        return False
    return all(map(_close, tree_leaves(outputs), tree_leaves(expected)))


def _close(value: Any, expected: Any) -> bool:
    if not isinstance(expected, Tensor):
        return bool(value == expected)
    tolerance = 1e3 * torch.finfo(expected.dtype).eps if expected.is_floating_point() else 0
    close = value.shape == expected.shape
    return close and torch.allclose(value, expected, rtol=tolerance, atol=tolerance)


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
