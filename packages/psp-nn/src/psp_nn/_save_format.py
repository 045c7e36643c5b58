"""The file format of a superposition: its tensors, and a description of their network."""

import hashlib
import json
from typing import Any

import torch
from torch import Tensor, nn

from psp_contexts import Contexts
from psp_nn._restore import plain_class
from psp_nn._use_context import checked_layers
from psp_nn.layers.layer import Layer

FORMAT = "psp-nn"
FORMAT_VERSION = 1

Description = dict[str, str]


def state_tensors(caller: str, argument: str, net: nn.Module) -> dict[str, Tensor]:
    """Return the state dict of a superposition without the specs of its contexts.

    Raises:
        ValueError: If nothing in the network is superposed, or part of its state is not a tensor
            with data.
    """
    checked_layers(caller, argument, net)
    specs = {
        f"{path}._extra_state"
        for path, module in net.named_modules()
        if isinstance(module, Contexts)
    }
    tensors = {name: value for name, value in net.state_dict().items() if name not in specs}
    extra = {
        f"{path}._extra_state".lstrip(".")
        for path, module in net.named_modules()
        if type(module).get_extra_state is not nn.Module.get_extra_state
    }
    for name, value in tensors.items():
        if name in extra or not isinstance(value, Tensor) or value.is_meta:
            raise ValueError(
                f"{caller}: in {argument}, '{name}' is the extra state of a module or a tensor "
                "without data, which the file format does not support."
            )
    return tensors


def describe(net: nn.Module, tensors: dict[str, Tensor]) -> Description:
    """Return the architecture and the contexts of a superposition, as JSON in strings."""
    layers = {
        name: plain_class(type(module)).__name__
        for name, module in net.named_modules()
        if isinstance(module, Layer)
    }
    shapes = {f"{name} ": [str(v.dtype), list(v.shape)] for name, v in tensors.items()}
    contexts = {
        name: {**module.spec(), "checksum": module.checksum()}
        for name, module in net.named_modules()
        if isinstance(module, Contexts)
    }
    return {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "architecture": _json({**layers, **shapes}),
        "contexts": _json(contexts),
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
