"""Superpositions on disk: the weights as safetensors, the contexts as what they are drawn from."""

import os
import time
from contextlib import suppress
from glob import escape
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from psp_nn._arguments import checked_path
from psp_nn._save_format import (
    FORMAT,
    FORMAT_VERSION,
    Description,
    description_of,
    difference,
    digest_of,
    on_disk,
    tensors_of,
)

ABANDONED = 3600.0
"""After how many seconds without a change a file that is not finished is nobody's any more."""


def save(net: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write a superposition to a file: its tensors, and a spec of its contexts.

    Fixed contexts take no room: they are drawn again from family, seed and count, and a checksum
    tells whether what is drawn is the same. Norms and biases per context are among the tensors.
    The file is safetensors, and replaces an older one only when it is complete. Before that it
    is a hidden one beside it, which nothing but the sudden end of the process leaves behind; a
    later `save` to the same path removes it after an hour.

    Args:
        net: What `superpose` returned.
        path: Where to.

    Raises:
        OSError: If the file cannot be written, for example since the folder does not exist or the
            disk is full; an older file stays as it is.
        TypeError: If `net` is no network, or `path` no path.
        ValueError: If nothing in `net` is superposed, it has state that is no tensor with data,
            or `path` names no file.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import load, save, superpose
        >>> def build():
        ...     net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
        ...     return superpose(net, family=BinaryContexts, num_contexts=50, seed=0)
        >>> one, other = build(), build()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(one, f"{folder}/net.safetensors")
        ...     load(f"{folder}/net.safetensors", into=other)
        >>> torch.equal(one(torch.ones(4)), other(torch.ones(4)))
        True
    """
    target = checked_path("path", path)
    tensors = tensors_of("save", "net", net)
    description = description_of(net, tensors)
    description["digest"] = digest_of(tensors, description)
    content = to_bytes(
        {name: on_disk(value).contiguous().clone() for name, value in tensors.items()},
        metadata=description,
    )
    try:
        _write_whole(target, content)
    except OSError as error:
        raise OSError(
            error.errno, f"save: path {target} cannot be written: {error.strerror or error}"
        ) from error


def load(path: str | os.PathLike[str], *, into: nn.Module) -> None:
    """Read a superposition back into a network that was superposed in the same way.

    No more is read than the network itself takes, and all of it is compared with a digest.

    Args:
        path: A file that `save` wrote.
        into: The network; nothing in it changes unless all of the file fits.

    Raises:
        FileNotFoundError: If there is no file.
        OSError: If it cannot be read.
        TypeError: If `path` is no path, or `into` no network.
        ValueError: If the file is cut short, altered, of a newer version or of another kind, or
            was saved from another architecture or with other contexts; or `into` is not
            superposed, or has a tensor that cannot be written to.
    """
    source = checked_path("path", path)
    name = f"load: path {source}"
    ours = tensors_of("load", "into", into)
    for key, value in ours.items():
        sizes = zip(value.stride(), value.shape, strict=True)
        if any(step == 0 and size > 1 for step, size in sizes):
            raise ValueError(
                f"load: in into, '{key}' is an expanded view, whose entries cannot be written one "
                "by one; clone it first."
            )
    if not source.is_file():
        raise FileNotFoundError(f"{name} is not a file.")
    expected = description_of(into, ours)
    try:
        with safe_open(os.fspath(source), framework="pt") as file:
            found = dict(file.metadata() or {})
            _check_kind(name, found)
            _compare(name, "architecture", found, expected, "superpose the network that was saved")
            saved = _read(file, ours)
    except SafetensorError as error:
        raise ValueError(
            f"{name} is cut short or not a safetensors file ({error}); save it again."
        ) from error
    except OSError as error:
        raise OSError(error.errno, f"{name} cannot be read: {error.strerror or error}") from error
    if saved is None or found.pop("digest", "") != digest_of(saved, found):
        raise _altered(name)
    _compare(name, "contexts", found, expected, "superpose with the saved family, count and seed")
    with torch.no_grad():
        for key, value in ours.items():
            value.copy_(saved[key])


def _write_whole(target: Path, content: bytes) -> None:
    """Write a file so that nobody meets half of it."""
    for abandoned in target.parent.glob(f".{escape(target.name)}.*.part"):
        with suppress(OSError):
            if time.time() - abandoned.stat().st_mtime > ABANDONED:
                abandoned.unlink()
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
    finally:
        with suppress(OSError):  # it has become the target, or has never been
            unfinished.unlink()


def _check_kind(name: str, found: Description) -> None:
    if found.get("format") != FORMAT:
        raise ValueError(f"{name} holds no superposition; it was not written by psp_nn.save.")
    version = found.get("format_version", "")
    if not (version.isascii() and version.isdigit() and len(version) < 9 and int(version)):
        raise _altered(name)
    if int(version) > FORMAT_VERSION:
        raise ValueError(
            f"{name} has format version {version}, but this release reads up to "
            f"{FORMAT_VERSION}; install a newer psp-nn."
        )


def _compare(name: str, part: str, found: Description, expected: Description, remedy: str) -> None:
    if found.get(part) == expected[part]:
        return
    differs = difference(found.get(part, ""), expected[part])
    if differs is None:
        raise _altered(name)
    raise ValueError(f"{name} was saved with another {part.rstrip('s')}: {differs}; {remedy}.")


def _read(file: Any, ours: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """The tensors of a file, or None if they are not as many and as large as ours."""
    if set(file.keys()) != set(ours):
        return None
    saved = {}
    for key, value in ours.items():
        shape = [*value.shape, *((2,) if value.is_complex() else ())]
        if file.get_slice(key).get_shape() != shape:
            return None
        tensor: Tensor = file.get_tensor(key)
        if tensor.dtype != value.real.dtype:
            return None
        saved[key] = torch.view_as_complex(tensor) if value.is_complex() else tensor
    return saved


def _altered(name: str) -> ValueError:
    return ValueError(
        f"{name} has been altered: its contents do not give the digest that was saved with "
        "them; restore it from a copy."
    )
