"""Superpositions on disk: weights as safetensors, and a spec from which contexts are redrawn."""

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

from psp_nn._save_format import (
    FORMAT,
    FORMAT_VERSION,
    Description,
    as_real,
    compute_digest,
    describe,
    first_difference,
    state_tensors,
)

ABANDONED = 3600.0
"""Age in seconds after which an unfinished file is considered abandoned."""


def save(net: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write a superposition to a file: its tensors, and a spec of its contexts.

    Fixed contexts take no space: `load` draws them again from family, seed and count, and
    compares a checksum. Norms and biases per context are among the tensors.

    The file is written under a hidden name in the same folder. It replaces an older one only when
    it is complete. If the process is killed, the hidden file stays; a later `save` to the same
    path removes it after an hour.

    Args:
        net: The result of `superpose`.
        path: Name of the file, by convention ending in `.safetensors`.

    Raises:
        OSError: If the file cannot be written, for example because the folder does not exist or
            the disk is full; an older file stays unchanged.
        ValueError: If nothing in `net` is superposed, or part of its state is not a tensor with
            data.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import load, save, superpose
        >>> def build():
        ...     net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
        ...     return superpose(net, family=BinaryContexts, num_contexts=50, seed=0, base=False)
        >>> one, other = build(), build()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(one, f"{folder}/net.safetensors")
        ...     load(f"{folder}/net.safetensors", into=other)
        >>> torch.equal(one(torch.ones(4)), other(torch.ones(4)))
        True
    """
    path = Path(path)
    tensors = state_tensors("save", "net", net)
    description = describe(net, tensors)
    description["digest"] = compute_digest(tensors, description)
    content = to_bytes(
        {name: as_real(value).contiguous().clone() for name, value in tensors.items()},
        metadata=description,
    )
    try:
        _atomic_write(path, content)
    except OSError as error:
        raise _with_path(error, f"save: path {path} cannot be written") from error


def load(path: str | os.PathLike[str], *, into: nn.Module) -> None:
    """Read a file into a network that was superposed in the same way as the saved one.

    No more is read than the network itself takes, and all of it is compared with a checksum.

    Args:
        path: A file that `save` wrote.
        into: The network. Nothing in it changes unless the whole file fits.

    Raises:
        FileNotFoundError: If there is no file.
        OSError: If the file cannot be read.
        ValueError: If the file is truncated, altered, of a newer version or of another format, or
            was saved from another architecture or with other contexts; or `into` is not
            superposed, or has a tensor that cannot be written to.
    """
    path = Path(path)
    caller = f"load: path {path}"
    tensors = state_tensors("load", "into", into)
    for name, value in tensors.items():
        sizes = zip(value.stride(), value.shape, strict=True)
        if any(step == 0 and size > 1 for step, size in sizes):
            raise ValueError(f"load: in into, '{name}' is an expanded view; clone it first.")
    if not path.is_file():
        raise FileNotFoundError(f"{caller} is not a file.")
    expected = describe(into, tensors)
    try:
        with safe_open(os.fspath(path), framework="pt") as file:
            metadata = dict(file.metadata() or {})
            _check_format(caller, metadata)
            _check_part(caller, "architecture", metadata, expected)
            saved = _read(file, tensors)
    except SafetensorError as error:
        raise ValueError(f"{caller} is truncated or not a safetensors file: {error}") from error
    except OSError as error:
        raise _with_path(error, f"{caller} cannot be read") from error
    if saved is None or metadata.pop("digest", "") != compute_digest(saved, metadata):
        raise _altered(caller)
    _check_part(caller, "contexts", metadata, expected)
    with torch.no_grad():
        for name, value in tensors.items():
            value.copy_(saved[name])


def _atomic_write(path: Path, content: bytes) -> None:
    """Write a file so that no reader sees part of it."""
    for unfinished in path.parent.glob(f".{escape(path.name)}.*.part"):
        with suppress(OSError):
            if time.time() - unfinished.stat().st_mtime > ABANDONED:
                unfinished.unlink()
    hidden = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with hidden.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        hidden.replace(path)
    finally:
        with suppress(OSError):  # it has been renamed, or was never created
            hidden.unlink()


def _check_format(caller: str, metadata: Description) -> None:
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{caller} holds no superposition; it was not written by psp_nn.save.")
    version = metadata.get("format_version", "")
    if not (version.isascii() and version.isdigit() and len(version) < 9 and int(version)):
        raise _altered(caller)
    if int(version) > FORMAT_VERSION:
        raise ValueError(
            f"{caller} has format version {version}, but this release reads up to {FORMAT_VERSION}."
        )


def _check_part(caller: str, part: str, metadata: Description, expected: Description) -> None:
    if metadata.get(part) == expected[part]:
        return
    difference = first_difference(metadata.get(part, ""), expected[part])
    if difference is None:
        raise _altered(caller)
    raise ValueError(f"{caller} was saved with another {part.rstrip('s')}: {difference}.")


def _read(file: Any, expected: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """Read the tensors of a file, or return None if names, shapes or dtypes differ."""
    if set(file.keys()) != set(expected):
        return None
    saved = {}
    for name, value in expected.items():
        # The shape is checked first, so that a forged one allocates nothing.
        if file.get_slice(name).get_shape() != list(as_real(value).shape):
            return None
        tensor: Tensor = file.get_tensor(name)
        if tensor.dtype != value.real.dtype:
            return None
        saved[name] = torch.view_as_complex(tensor) if value.is_complex() else tensor
    return saved


def _with_path(error: OSError, message: str) -> OSError:
    """Return an error of the same kind with another message."""
    return OSError(error.errno, f"{message}: {error.strerror or error}")


def _altered(caller: str) -> ValueError:
    return ValueError(
        f"{caller} has been altered: its contents do not match the saved digest; restore it from a "
        "copy."
    )
