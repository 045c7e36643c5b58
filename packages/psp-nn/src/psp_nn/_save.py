"""Superpositions on disk: the weights as safetensors, the contexts as what they are drawn from."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from psp_contexts import Contexts
from psp_nn._layer import Layer
from psp_nn._plain import plain_class
from psp_nn._use_context import superposed_layers

FORMAT = "psp-nn"
FORMAT_VERSION = 1


def save(net: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write a superposition to a file: its tensors, and a spec of its contexts.

    Fixed contexts take no room: they are drawn again from family, seed and count, and a checksum
    tells whether what is drawn is the same. Norms and biases per context are among the tensors.
    The file is safetensors, and replaces an older one only when it is complete.

    Args:
        net: What `superpose` returned.
        path: Where to.

    Raises:
        ValueError: If nothing in `net` is superposed, or it has state that is no tensor with data.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import load, save, superpose
        >>> def build():
        ...     net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
        ...     return superpose(net, contexts=BinaryContexts, num_contexts=50, seed=0)
        >>> one, other = build(), build()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(one, f"{folder}/net.safetensors")
        ...     load(f"{folder}/net.safetensors", into=other)
        >>> torch.equal(one(torch.ones(4)), other(torch.ones(4)))
        True
    """
    tensors = _tensors(net)
    described = _description(net, tensors)
    described["digest"] = _digest(tensors, described)
    on_disk = {
        name: (torch.view_as_real(value) if value.is_complex() else value).contiguous().clone()
        for name, value in tensors.items()
    }
    target = Path(path)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as file:
            file.write(to_bytes(on_disk, metadata=described))
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def load(path: str | os.PathLike[str], *, into: nn.Module) -> None:
    """Read a superposition back into a network that was superposed in the same way.

    Args:
        path: A file that `save` wrote.
        into: The network; nothing in it changes unless all of the file fits.

    Raises:
        FileNotFoundError: If there is no file.
        ValueError: If the file is cut short, altered, of a newer version or of another kind, or
            was saved from another architecture or with other contexts.
    """
    name = f"load: {os.fspath(path)}"
    if not Path(path).is_file():
        raise FileNotFoundError(f"{name} is not a file.")
    try:
        with safe_open(os.fspath(path), framework="pt") as file:
            found = dict(file.metadata() or {})
            saved = {key: file.get_tensor(key) for key in file.keys()}
    except SafetensorError as error:
        raise ValueError(
            f"{name} is cut short or not a safetensors file ({error}); save it again."
        ) from error
    if found.get("format") != FORMAT:
        raise ValueError(f"{name} holds no superposition; it was not written by psp_nn.save.")
    version = found.get("format_version", "")
    if not version.isdigit() or int(version) > FORMAT_VERSION:
        raise ValueError(
            f"{name} has format version {version}, but this release reads up to "
            f"{FORMAT_VERSION}; install a newer psp-nn."
        )
    try:
        for key in json.loads(found["complex"]):
            saved[key] = torch.view_as_complex(saved[key])
        intact = found.pop("digest") == _digest(saved, found)
    except (KeyError, ValueError, RuntimeError):
        intact = False
    if not intact:
        raise ValueError(
            f"{name} has been altered: its contents do not give the digest that was saved with "
            "them; restore it from a copy."
        )
    ours = _tensors(into)
    expected = _description(into, ours)
    _compare(name, "architecture", found, expected, "superpose the network that was saved")
    _compare(name, "contexts", found, expected, "superpose with the saved family, count and seed")
    with torch.no_grad():
        for key, value in ours.items():
            value.copy_(saved[key])


def _tensors(net: nn.Module) -> dict[str, Tensor]:
    if not superposed_layers(net):
        raise ValueError(f"save, load: nothing in this {type(net).__name__} is superposed.")
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
                f"save, load: '{name}' is the extra state of a module or a tensor without data, "
                "which the file has no place for; keep it in a buffer, or materialise it."
            )
    return tensors


def _description(net: nn.Module, tensors: dict[str, Tensor]) -> dict[str, str]:
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
        "complex": _json([name for name, value in tensors.items() if value.is_complex()]),
    }


def _compare(
    name: str, part: str, found: dict[str, str], expected: dict[str, str], remedy: str
) -> None:
    theirs, ours = json.loads(found[part]), json.loads(expected[part])
    for key in {**ours, **theirs}:
        if theirs.get(key) != ours.get(key):
            raise ValueError(
                f"{name} was saved with another {part.rstrip('s')}: '{key.strip()}' is "
                f"{theirs.get(key, 'missing')} in the file, but {ours.get(key, 'missing')} in the "
                f"network; {remedy}."
            )


def _digest(tensors: dict[str, Tensor], described: dict[str, str]) -> str:
    digest = hashlib.blake2b(_json(described).encode(), digest_size=16)
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        digest.update(f"\0{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
        value = torch.view_as_real(value) if value.is_complex() else value
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
