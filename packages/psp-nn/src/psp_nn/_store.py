"""Storing a trained model in a superposition."""

from enum import Enum, auto
from typing import NamedTuple

import torch
from torch import Tensor, nn

from psp_contexts import Contexts
from psp_nn._checks import check_one_context
from psp_nn._use_context import checked_layers, use_context
from psp_nn.layers.layer import Layer
from psp_nn.layers.superposed import base_name


@torch.no_grad()
def store(net: nn.Module, context: int, model: nn.Module) -> None:
    """Add a trained model to a superposition: W += W_k C_k⁻¹ in every superposed layer.

    The previous contents of the superposition, its initial weights included, are noise to the new
    model, and the new model is noise to the others. `superpose_models` starts from zero weights.
    If the superposition has a base, the model's difference from it is added. Norms and biases per
    context are replaced by those of the model.

    Args:
        net: The superposition, changed in place.
        context: Index under which the model is retrieved.
        model: An ordinary network with the parameters and buffers that `net` had before
            `superpose`, with the same ones tied.

    Raises:
        IndexError, TypeError: As in `use_context`.
        ValueError: If the model has other names or shapes, its weights are not finite, or it
            differs from the network in a tensor that all models share; nothing changes then.

    Source:
        Cheung et al. 2019, equation 1.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import retrieve, store, superpose
        >>> empty = torch.nn.Linear(4, 2, bias=False).requires_grad_(False)
        >>> _ = empty.weight.zero_()
        >>> net = superpose(empty, family=BinaryContexts, num_contexts=50, seed=0)
        >>> model = torch.nn.Linear(4, 2, bias=False)
        >>> store(net, 7, model)
        >>> torch.equal(retrieve(net, 7).weight, model.weight)
        True
    """
    checked_layers("store", "net", net)
    check_one_context("store", context)
    with use_context(net, context):
        values = _checked_values(net, model)
        done: set[int] = set()
        for path, layer in net.named_modules(remove_duplicate=False):
            if not isinstance(layer, Layer):
                continue
            for name in layer.superposition.superposed:
                stored = layer.stored(name)
                if id(stored) not in done:  # a tied parameter gets the model's weight once
                    done.add(id(stored))
                    weight, base = values[dotted(path, name)], layer.base(name)
                    layer.add_to_model(name, context, weight if base is None else weight - base)
            for name in layer.superposition.per_context:
                tensors_of(layer)[name][context].copy_(values[dotted(path, name)])


def dotted(path: str, name: str) -> str:
    """Return the full name of a tensor of the module at `path`."""
    return f"{path}.{name}" if path else name


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Return the stored parameters and buffers of a module, without those of its children."""
    return {
        name: value
        for name, value in [*module._parameters.items(), *module._buffers.items()]
        if value is not None
    }


class _Role(Enum):
    """Use of a tensor in a superposition."""

    SUPERPOSED = auto()
    PER_CONTEXT = auto()
    SHARED = auto()


class _Expected(NamedTuple):
    """Tensor of a superposition, with the shape that a model's tensor must have."""

    stored: Tensor
    shape: torch.Size
    role: _Role


def _checked_values(net: nn.Module, model: nn.Module) -> dict[str, Tensor]:
    """Return the model's tensors, in the network's dtypes and on its device, if they all fit."""
    if any(isinstance(module, Layer) for module in model.modules()):
        raise ValueError("store: the model is superposed itself; retrieve one from it first.")
    values: dict[str, Tensor] = {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }
    expected = _expected_tensors(net)
    for name in {**expected, **values}:
        if name not in expected or name not in values:
            owner = "network" if name in expected else "model"
            raise ValueError(f"store: only the {owner} has '{name}'; the classes must agree.")
    first_names: dict[Tensor, str] = {}
    for name, tensor in expected.items():
        _check_value(name, values[name], tensor)
        values[name] = values[name].to(tensor.stored)
        first = first_names.setdefault(tensor.stored, name)
        if first != name and not torch.equal(values[first], values[name]):
            raise ValueError(f"store: '{first}' and '{name}' are tied, but differ in the model.")
    return values


def _expected_tensors(net: nn.Module) -> dict[str, _Expected]:
    expected = {}
    for path, module in net.named_modules(remove_duplicate=False):
        if isinstance(module, Contexts):
            continue
        superposed: tuple[str, ...] = ()
        per_context: tuple[str, ...] = ()
        parts = 1
        if isinstance(module, Layer):
            state = module.superposition
            superposed, per_context, parts = state.superposed, state.per_context, state.parts
        for name, stored in tensors_of(module).items():
            if name in map(base_name, superposed):
                continue
            role = _Role.SHARED
            if name in superposed:
                role = _Role.SUPERPOSED
            elif name in per_context:
                role = _Role.PER_CONTEXT
            leading = (role is _Role.PER_CONTEXT) + (parts == 2)
            expected[dotted(path, name)] = _Expected(stored, stored.shape[leading:], role)
    return expected


def _check_value(name: str, value: Tensor, expected: _Expected) -> None:
    stored, shape, role = expected
    if value.shape != shape or (value.is_complex() and not stored.is_complex()):
        raise ValueError(
            f"store: '{name}' is {value.dtype} of shape {tuple(value.shape)} in the model, but "
            f"{stored.dtype} of shape {tuple(shape)} in the network."
        )
    # Whatever is added to a superposition stays in all of its models.
    if role is _Role.SUPERPOSED and not value.isfinite().all():
        raise ValueError(f"store: '{name}' in the model is not finite; it would spoil all models.")
    # The shared tables of a complex network have two equal parts.
    if role is _Role.SHARED and not torch.equal(stored, value.to(stored).expand_as(stored)):
        raise ValueError(
            f"store: '{name}' is shared by all models, but differs in this one; superpose with "
            "bias_per_context=True and norms per context."
        )
