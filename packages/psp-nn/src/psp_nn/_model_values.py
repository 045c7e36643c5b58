"""Tensors of an ordinary model, checked against the superposition that it belongs to."""

import hashlib
from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple

import torch
from torch import Tensor, nn

from psp_contexts import Contexts
from psp_nn.layers.layer import Layer
from psp_nn.layers.linear_per_context import NUM_OUTPUTS
from psp_nn.layers.superposed import base_name


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
    any_length: bool
    """True if the first dimension may have any length, as in heads of different sizes."""


class SuperposedParameter(NamedTuple):
    """Superposed parameter with its name in the layer and in the network."""

    layer: Layer
    key: str
    name: str


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


def superposed_parameters(net: nn.Module) -> Iterator[SuperposedParameter]:
    """Yield each superposed parameter of a network, a tied one once."""
    seen: set[int] = set()
    for path, layer in net.named_modules(remove_duplicate=False):
        if isinstance(layer, Layer):
            for key in layer.superposition.superposed:
                if id(layer.stored(key)) not in seen:
                    seen.add(id(layer.stored(key)))
                    yield SuperposedParameter(layer, key, dotted(path, key))


def checked_values(
    caller: str, net: nn.Module, model: nn.Module, *, check_shared: bool = True
) -> dict[str, Tensor]:
    """Return the model's tensors, in the network's dtypes and on its device, if they all fit.

    Raises:
        ValueError: If a name or a shape differs, a weight is not finite, or, with `check_shared`,
            a tensor differs from the one that all models share.
    """
    if any(isinstance(module, Layer) for module in model.modules()):
        raise ValueError(f"{caller}: the model is superposed itself; retrieve one from it first.")
    values: dict[str, Tensor] = {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }
    expected = _expected_tensors(net)
    for name in {**expected, **values}:
        if name not in expected or name not in values:
            owner = "network" if name in expected else "model"
            raise ValueError(f"{caller}: only the {owner} has '{name}'; the classes must agree.")
    first_names: dict[Tensor, str] = {}
    for name, tensor in expected.items():
        if check_shared or tensor.role is not _Role.SHARED:
            _check_value(caller, name, values[name], tensor)
        values[name] = values[name].to(tensor.stored)
        first = first_names.setdefault(tensor.stored, name)
        if first != name and not torch.equal(values[first], values[name]):
            raise ValueError(f"{caller}: '{first}' and '{name}' are tied, but differ in the model.")
    return values


def compute_model_digest(net: nn.Module, model: nn.Module) -> str:
    """Return a digest of the weights of a model that are superposed, rounded to float32."""
    digest = hashlib.blake2b(digest_size=16)
    for parameter in superposed_parameters(net):
        value = model.get_parameter(parameter.name).detach().cpu()
        real = torch.view_as_real(value) if value.is_complex() else value
        digest.update(f"\0{parameter.name}\0".encode())
        digest.update(real.float().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


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
            if name in map(base_name, (*superposed, *per_context)) or name == NUM_OUTPUTS:
                continue
            role = _Role.SHARED
            if name in superposed:
                role = _Role.SUPERPOSED
            elif name in per_context:
                role = _Role.PER_CONTEXT
            leading = (role is _Role.PER_CONTEXT) + (parts == 2)
            any_length = role is _Role.PER_CONTEXT and NUM_OUTPUTS in per_context
            shape = stored.shape[leading:]
            expected[dotted(path, name)] = _Expected(stored, shape, role, any_length)
    return expected


_SHARED_REMEDY = (
    "A layer that is left out, such as a head, has to be the same in all models: put that of the "
    "network into this model and keep its own apart, or superpose with own=…, one for each model."
)


def _check_value(caller: str, name: str, value: Tensor, expected: _Expected) -> None:
    stored, shape, role, any_length = expected
    if any_length and value.dim():
        shape = torch.Size([len(value), *shape[1:]])
    if value.shape != shape or (value.is_complex() and not stored.is_complex()):
        raise ValueError(
            f"{caller}: '{name}' is {value.dtype} of shape {tuple(value.shape)} in the model, but "
            f"{stored.dtype} of shape {tuple(shape)} in the network."
            + (f" {_SHARED_REMEDY}" if role is _Role.SHARED else "")
        )
    # Whatever is added to a superposition stays in all of its models.
    if role is _Role.SUPERPOSED and not value.isfinite().all():
        raise ValueError(
            f"{caller}: '{name}' in the model is not finite; it would spoil all models."
        )
    # The shared tables of a complex network have two equal parts.
    if role is _Role.SHARED and not torch.equal(stored, value.to(stored).expand_as(stored)):
        raise ValueError(
            f"{caller}: '{name}' is shared by all models, but differs in this one; superpose with "
            f"bias_per_context=True and norms per context. {_SHARED_REMEDY}"
        )
