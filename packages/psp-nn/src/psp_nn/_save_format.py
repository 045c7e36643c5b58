"""What a superposition is on disk: its tensors, and a description of what they belong to."""

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


def tensors_of(who: str, argument: str, net: nn.Module) -> dict[str, Tensor]:
    """The tensors of a superposition by their names, but for what its contexts are drawn from.

    Raises:
        TypeError: If the argument is no network.
        ValueError: If nothing in it is superposed, or it has state that is no tensor with data.
    """
    checked_layers(who, argument, net)
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
                f"{who}: in {argument}, '{name}' is the extra state of a module or a tensor "
                "without data, which the file has no place for; keep it in a buffer, or "
                "materialise it."
            )
    return tensors


def description_of(net: nn.Module, tensors: dict[str, Tensor]) -> Description:
    """The architecture of a superposition, and its contexts."""
    layers = {
        name: plain_class(type(module)).__name__
        for name, module in net.named_modules()
        if isinstance(module, Layer)
    }
    shapes = {name: [str(value.dtype), list(value.shape)] for name, value in tensors.items()}
    contexts = {
        name: {**module.spec(), "checksum": module.checksum()}
        for name, module in net.named_modules()
        if isinstance(module, Contexts)
    }
    return {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "architecture": _json({**layers, **{f"{name} ": s for name, s in shapes.items()}}),
        "contexts": _json(contexts),
    }


def difference(theirs: str, ours: str) -> str | None:
    """What is another in two parts of descriptions; None if theirs is not one that was written."""
    try:
        found, expected = json.loads(theirs), json.loads(ours)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    for key in {**expected, **found}:
        if found.get(key) != expected.get(key):
            return (
                f"'{key.strip()}' is {found.get(key, 'missing')} in the file, but "
                f"{expected.get(key, 'missing')} in the network"
            )
    return None


def digest_of(tensors: dict[str, Tensor], description: Description) -> str:
    """What tells that tensors and description are those that were saved."""
    digest = hashlib.blake2b(_json(description).encode(), digest_size=16)
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        digest.update(f"\0{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
        digest.update(on_disk(value).reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def on_disk(value: Tensor) -> Tensor:
    """A tensor as the format has it, which knows no complex numbers."""
    return torch.view_as_real(value) if value.is_complex() else value


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
