"""Writing superpositions to files: weights as safetensors, and a spec of their contexts."""

import os
import time
from contextlib import suppress
from glob import escape
from pathlib import Path

from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from psp_nn._context_index import num_contexts_of, superposed_layers, unwrapped
from psp_nn._file_tensors import as_real, model_tensors, state_tensors, without_unused_rows
from psp_nn._save_format import compute_digest, describe, describe_model

ABANDONED = 3600.0
"""Age in seconds after which an unfinished file is considered abandoned."""


def save(
    net: nn.Module, path: str | os.PathLike[str], *, context: int | str | Tensor | None = None
) -> None:
    """Write a superposition to a file, or what belongs to one of its models alone.

    The file holds the tensors, a spec of the contexts, and the names of the models. Fixed
    contexts take no space: `load` draws them again from family, seed and count, and compares a
    checksum. Norms and biases per context are among the tensors.

    With `context`, the file holds the norms, biases and learned contexts of that model alone. The
    superposed weights are those of all models: a whole model is what `retrieve` returns, and any
    format for networks saves that.

    The file is written under a hidden name in the same folder. It replaces an older one only when
    it is complete. If the process is killed, the hidden file stays; a later `save` to the same
    path removes it after an hour.

    Args:
        net: The result of `superpose`, or that inside a wrapper: `torch.compile`, `DataParallel`,
            `DistributedDataParallel` or `AveragedModel`.
        path: Name of the file, by convention ending in `.safetensors`.
        context: Index or name of one model.

    Raises:
        IndexError, TypeError: As in `use_context`.
        OSError: If the file cannot be written, for example because the folder does not exist or
            the disk is full; an older file stays unchanged.
        ValueError: If nothing in `net` is superposed, part of its state is not a tensor with
            data, no model has that name, or nothing belongs to that model alone.

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
    path, net = Path(path), unwrapped(net)
    if context is None:
        tensors = without_unused_rows(net, state_tensors("save", "net", net))
        description = describe(net, tensors, num_contexts_of(superposed_layers(net)))
    else:
        tensors = without_unused_rows(net, model_tensors("save", "net", net, context))
        description = describe_model(net, tensors)
    description["digest"] = compute_digest(sorted(tensors.items()), description)
    content = to_bytes(
        {name: as_real(value).contiguous().clone() for name, value in tensors.items()},
        metadata=description,
    )
    try:
        _atomic_write(path, content)
    except OSError as error:
        raise with_path(error, f"save: path {path} cannot be written") from error


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


def with_path(error: OSError, message: str) -> OSError:
    """Return an error of the same kind with another message."""
    return OSError(error.errno, f"{message}: {error.strerror or error}")
