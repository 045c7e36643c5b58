"""The file format of a superposition: its tensors, and a description of their network."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from psp_contexts import Contexts
from psp_nn._context_index import is_part, superposed_layers
from psp_nn._file_tensors import as_real, first_contexts
from psp_nn._restore import plain_class
from psp_nn.layers.layer import Layer
from psp_nn.layers.model_record import ModelRecord

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
        "models": _record(net).to_json(),
        "architecture": _json({**layers, **_shapes(tensors)}),
        "contexts": _json(contexts),
    }


def _record(net: nn.Module) -> ModelRecord:
    record = superposed_layers(net)[0].superposition.models
    return record.of_part() if is_part(net) else record


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
            remedy = _remedy(key.strip(), in_file.get(key), in_network.get(key))
            return (
                f"'{key.strip()}' is {in_file.get(key, 'missing')} in the file, but "
                f"{in_network.get(key, 'missing')} in the network{remedy}"
            )
    return None


def _remedy(key: str, in_file: Any, in_network: Any) -> str:
    """Return how to superpose the network for the file, where a difference tells it."""
    match in_file, in_network:
        case (None, _) | (_, None) if key.endswith("_base"):
            return f"; superpose the network with base={in_network is None}"
        case (None, _) | (_, None) if key.endswith("output_contexts"):
            return "; superpose the network with two_sided as the saved one"
        case {"name": str(saved)}, {"name": str(present)} if saved.endswith(present):
            prefix = saved[: len(saved) - len(present)].removesuffix(".")
            return f"; superpose the network with prefix={prefix!r}" if prefix else ""
        case [str(), list(saved)], [str(), list(present)] if len(saved) != len(present):
            return "; superpose the network with bias_per_context and norms as the saved one"
    return ""


def grouped_layers(net: nn.Module) -> list[str]:
    """Return the names of the layers whose groups have contexts of their own."""
    return [
        layer.superposition.name
        for layer in superposed_layers(net)
        for key in layer.superposition.superposed
        if layer.contexts_for(key).num_contexts > layer.superposition.num_contexts
    ]


def compute_digest(tensors: Iterable[tuple[str, Tensor]], description: Description) -> str:
    """Return a checksum of the description and of tensors, in the order of their names.

    The description says which of them stand for complex ones.
    """
    digest = hashlib.blake2b(_json(description).encode(), digest_size=16)
    described = json.loads(description["architecture"])
    for name, value in tensors:
        dtype, shape = described[f"{name} "]
        digest.update(f"\0{name}\0{dtype}\0{tuple(shape)}\0".encode())
        data = as_real(value.detach()).cpu().contiguous()
        digest.update(data.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _shapes(tensors: dict[str, Tensor]) -> dict[str, list[object]]:
    return {f"{name} ": [str(v.dtype), list(v.shape)] for name, v in tensors.items()}


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
