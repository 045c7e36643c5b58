"""The file format of a superposition: its tensors, and a description of their network."""

import hashlib
import json
from typing import Any

import torch
from torch import Tensor, nn

from psp_contexts import Contexts
from psp_nn._context_index import checked_layers, num_contexts_of, one_context
from psp_nn._model_values import dotted
from psp_nn._restore import plain_class
from psp_nn.layers.layer import Layer
from psp_nn.layers.model_record import ModelRecord
from psp_nn.layers.resize import resize_contexts
from psp_nn.layers.superposed import base_name, contexts_name

FORMAT = "psp-nn"
FORMAT_VERSION = 2
"""Version 2 draws the contexts of grouped layers in another order, and has the record of models."""

MODEL_PART = "model"
"""Entry `part` of a file that holds what belongs to one model alone."""

Description = dict[str, str]


def state_tensors(caller: str, argument: str, net: nn.Module) -> dict[str, Tensor]:
    """Return the state dict of a superposition without the specs of contexts and the record.

    Raises:
        ValueError: If nothing in the network is superposed, or part of its state is not a tensor
            with data.
    """
    checked_layers(caller, argument, net)
    extra = {
        dotted(path, "_extra_state"): isinstance(module, Contexts | ModelRecord)
        for path, module in net.named_modules(remove_duplicate=False)
        if type(module).get_extra_state is not nn.Module.get_extra_state
    }
    tensors = {name: value for name, value in net.state_dict().items() if not extra.get(name)}
    for name, value in tensors.items():
        if name in extra or not isinstance(value, Tensor) or value.is_meta:
            raise ValueError(
                f"{caller}: in {argument}, '{name}' is the extra state of a module or a tensor "
                "without data, which the file format does not support."
            )
    return tensors


def first_entries(
    net: nn.Module, tensors: dict[str, Tensor], num_contexts: int
) -> dict[str, Tensor]:
    """Return the tensors of the first models of a superposition, as views of its own."""
    tensors = dict(tensors)
    for path, layer in net.named_modules(remove_duplicate=False):
        if isinstance(layer, Layer):
            for key in layer.superposition.per_context:
                name = dotted(path, key)
                tensors[name] = tensors[name][:num_contexts]
    for path, contexts in _contexts(net, num_contexts).items():
        for key, table in contexts.named_parameters():
            name = dotted(path, key)
            tensors[name] = tensors[name][: len(table)]
    return tensors


def without_base_entries(net: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors without the norms and biases of the base, which version 1 did not save."""
    names = {
        dotted(path, base_name(key))
        for path, layer in net.named_modules(remove_duplicate=False)
        if isinstance(layer, Layer)
        for key in layer.superposition.per_context
    }
    return {name: value for name, value in tensors.items() if name not in names}


def describe(net: nn.Module, tensors: dict[str, Tensor], num_contexts: int) -> Description:
    """Return what a file says of the first models of a superposition, as JSON in strings."""
    layers = {
        name: plain_class(type(module)).__name__
        for name, module in net.named_modules()
        if isinstance(module, Layer)
    }
    contexts = {
        name: {**module.spec(), "checksum": module.checksum()}
        for name, module in _contexts(net, num_contexts).items()
    }
    return {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "num_contexts": str(num_contexts),
        "models": checked_layers("save", "net", net)[0].superposition.models.to_json(),
        "architecture": _json({**layers, **_shapes(tensors)}),
        "contexts": _json(contexts),
    }


def _contexts(net: nn.Module, num_contexts: int) -> dict[str, Contexts]:
    """Return the contexts of a superposition by name, for the first `num_contexts` models."""
    contexts: dict[str, Contexts] = {}
    present = num_contexts_of(checked_layers("save", "net", net))
    for path, module in net.named_modules():
        if isinstance(module, Contexts):
            count = module.num_contexts // present * num_contexts
            same = count == module.num_contexts
            contexts[path] = module if same else resize_contexts(module, count)
    return contexts


def model_tensors(
    caller: str, argument: str, net: nn.Module, context: int | str | Tensor
) -> dict[str, Tensor]:
    """Return what belongs to one model alone, as views: norms, biases and learned contexts.

    Raises:
        ValueError: If nothing does, or learned parameters belong to several models.
    """
    layers = checked_layers(caller, argument, net)
    k, tensors = one_context(caller, layers, context), {}
    for path, layer in net.named_modules(remove_duplicate=False):
        if not isinstance(layer, Layer):
            continue
        state = layer.superposition
        for key in state.per_context:
            table = layer.table(key)
            assert table is not None
            tensors[dotted(path, key)] = table.detach()[k]
        for key in state.superposed:
            contexts = layer.contexts_for(key)
            each = contexts.num_contexts // state.num_contexts
            for name, rows in contexts.named_parameters():
                if rows.shape != (contexts.num_contexts, contexts.dim):
                    raise ValueError(
                        f"{caller}: the learned {type(contexts).__name__} of layer '{state.name}' "
                        "share parameters between models; save the whole network."
                    )
                name = dotted(path, f"{contexts_name(key)}.{name}")
                tensors[name] = rows.detach()[k * each : (k + 1) * each]
    if not tensors:
        raise ValueError(
            f"{caller}: no tensor of {argument} belongs to one model alone, no norm, bias or "
            "learned context; a whole model is what retrieve returns."
        )
    return tensors


def describe_model(net: nn.Module, tensors: dict[str, Tensor]) -> Description:
    """Return what a file says of the tensors of one model."""
    families = {
        name: type(module).__name__
        for name, module in net.named_modules()
        if isinstance(module, Contexts) and next(module.parameters(), None) is not None
    }
    return {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "part": MODEL_PART,
        "architecture": _json(_shapes(tensors)),
        "contexts": _json(families),
    }


def grouped_layers(net: nn.Module) -> list[str]:
    """Return the names of the layers whose groups have contexts of their own."""
    return [
        layer.superposition.name
        for layer in checked_layers("load", "into", net)
        for key in layer.superposition.superposed
        if layer.contexts_for(key).num_contexts > layer.superposition.num_contexts
    ]


def _shapes(tensors: dict[str, Tensor]) -> dict[str, list[object]]:
    return {f"{name} ": [str(v.dtype), list(v.shape)] for name, v in tensors.items()}


def first_difference(saved: str, expected: str) -> str | None:
    """Describe where two JSON objects differ; None if `saved` is not one."""
    try:
        in_file, in_network = json.loads(saved), json.loads(expected)
    except (ValueError, RecursionError):
        return None
    if not isinstance(in_file, dict):
        return None
    for key in {**in_network, **in_file}:
        if in_file.get(key) != in_network.get(key):
            return (
                f"'{key.strip()}' is {in_file.get(key, 'missing')} in the file, but "
                f"{in_network.get(key, 'missing')} in the network"
            )
    return None


def compute_digest(tensors: dict[str, Tensor], description: Description) -> str:
    """Return a checksum of the tensors and the description."""
    digest = hashlib.blake2b(_json(description).encode(), digest_size=16)
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        digest.update(f"\0{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
        digest.update(as_real(value).reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def as_real(value: Tensor) -> Tensor:
    """View a complex tensor as a real one: safetensors has no complex dtype."""
    return torch.view_as_real(value) if value.is_complex() else value


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
