"""The file format of a superposition: its tensors, and a description of their network."""

import hashlib
import json
from typing import Any

import torch
from torch import Tensor, nn

from psp_contexts import Contexts
from psp_nn._context_index import superposed_layers
from psp_nn._file_tensors import as_real, first_contexts
from psp_nn._restore import plain_class
from psp_nn.layers.layer import Layer

FORMAT = "psp-nn"
FORMAT_VERSION = 2
"""Version 2 draws the contexts of grouped layers in another order, and has the record of models."""

MODEL_PART = "model"
"""Entry `part` of a file that holds what belongs to one model alone."""

Description = dict[str, str]


def describe(net: nn.Module, tensors: dict[str, Tensor], num_contexts: int) -> Description:
    """Return what a file says of the first models of a superposition, as JSON in strings."""
    layers = {
        name: plain_class(type(module)).__name__
        for name, module in net.named_modules()
        if isinstance(module, Layer)
    }
    first = first_contexts(net, num_contexts)
    contexts = {
        name: {**first[name].spec(), "checksum": first[name].checksum()}
        for name, module in net.named_modules()
        if isinstance(module, Contexts)
    }
    return {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "num_contexts": str(num_contexts),
        "models": superposed_layers(net)[0].superposition.models.to_json(),
        "architecture": _json({**layers, **_shapes(tensors)}),
        "contexts": _json(contexts),
    }


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
            remedy = ""
            if key.strip().endswith("_base") and (key in in_file) != (key in in_network):
                remedy = f"; superpose the network with base={key in in_file}"
            return (
                f"'{key.strip()}' is {in_file.get(key, 'missing')} in the file, but "
                f"{in_network.get(key, 'missing')} in the network{remedy}"
            )
    return None


def grouped_layers(net: nn.Module) -> list[str]:
    """Return the names of the layers whose groups have contexts of their own."""
    return [
        layer.superposition.name
        for layer in superposed_layers(net)
        for key in layer.superposition.superposed
        if layer.contexts_for(key).num_contexts > layer.superposition.num_contexts
    ]


def compute_digest(tensors: dict[str, Tensor], description: Description) -> str:
    """Return a checksum of the tensors and the description."""
    digest = hashlib.blake2b(_json(description).encode(), digest_size=16)
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        digest.update(f"\0{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
        digest.update(as_real(value).reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _shapes(tensors: dict[str, Tensor]) -> dict[str, list[object]]:
    return {f"{name} ": [str(v.dtype), list(v.shape)] for name, v in tensors.items()}


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
