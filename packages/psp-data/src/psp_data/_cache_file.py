"""The file that keeps one image set: written whole or not at all, checked whenever it is opened."""

import errno
import json
import os
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

KEYS = ("train_images", "train_labels", "test_images", "test_labels")
CHUNK = 1 << 20


def checksum(tensors: dict[str, Tensor]) -> str:
    """CRC-32 of shapes and contents in the order of `KEYS`, eight hexadecimal digits."""
    crc = 0
    for key in KEYS:
        crc = zlib.crc32(_shape_bytes(list(tensors[key].shape)), crc)
        crc = zlib.crc32(tensors[key].contiguous().numpy().data, crc)
    return f"{crc:08x}"


def write_cache_file(path: Path, tensors: dict[str, Tensor]) -> None:
    """Put the tensors in `path`, replacing what is there in one step.

    Another process sees the old file or the new one and never a part of either: the bytes go
    to a file of their own beside it, which then takes its name. If that fails, it is removed.

    Args:
        path: A `.safetensors` file in a folder that exists.
        tensors: Images and labels under the names in `KEYS`.

    Raises:
        OSError: If the file cannot be written; see `naming_a_full_disk`.
    """
    content = safetensors.torch.save(
        {key: tensors[key].contiguous() for key in KEYS}, {"checksum": checksum(tensors)}
    )
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # some disks report that they are full only here
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_cache_file(path: Path) -> dict[str, Tensor]:
    """The tensors of `path`, memory-mapped, after checking that it is whole.

    Size, names, shapes and dtypes are always checked. The contents are checked against the
    checksum in the file's metadata, by reading the file once (about 0.4 ms per MB). A file
    that other software wrote has no such checksum: of its contents, nothing can be said.

    Args:
        path: A `.safetensors` file.

    Returns:
        The tensors under the names in `KEYS`, on the CPU.

    Raises:
        ValueError: If the file is not whole, or not as it was written.
    """
    try:
        with safe_open(path, framework="pt") as file:
            missing = sorted(set(KEYS) - set(file.keys()))
            if missing:
                raise _refusal(path, f"it has no {' and no '.join(missing)}")
            tensors = {key: file.get_tensor(key) for key in KEYS}
            expected = (file.metadata() or {}).get("checksum")
    except SafetensorError as error:
        raise _refusal(path, f"it is cut short or no safetensors file ({error})") from error
    for key, tensor in tensors.items():
        dtype, ndim = (torch.uint8, 4) if key.endswith("images") else (torch.int64, 1)
        if tensor.dtype != dtype or tensor.ndim != ndim:
            found = f"{tensor.dtype} of shape {tuple(tensor.shape)}"
            raise _refusal(path, f"{key} should be {dtype} with {ndim} dimensions, but is {found}")
    if expected is not None and _checksum_of_file(path) != expected:
        raise _refusal(path, "its contents have changed since it was written")
    return tensors


def _checksum_of_file(path: Path) -> str:
    """What `checksum` makes of the tensors in the file, by reading instead of mapping it.

    Reading through one small buffer takes half the time of touching every mapped page.
    """
    buffer = memoryview(bytearray(CHUNK))
    crc = 0
    with path.open("rb", buffering=0) as file:
        header_size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(header_size))
        for key in KEYS:
            start, end = header[key]["data_offsets"]
            crc = zlib.crc32(_shape_bytes(header[key]["shape"]), crc)
            file.seek(8 + header_size + start)
            left = end - start
            while left and (count := file.readinto(buffer[: min(left, CHUNK)])):
                crc = zlib.crc32(buffer[:count], crc)
                left -= count
    return f"{crc:08x}"


def _shape_bytes(shape: list[int]) -> bytes:
    return json.dumps(shape).encode()


def _refusal(path: Path, reason: str) -> ValueError:
    return ValueError(
        f"{path} cannot be used: {reason}. Put a whole copy in its place, or build it anew with "
        f"load({path.stem!r}, rebuild=True)."
    )


@contextmanager
def naming_a_full_disk(name: str, root: Path) -> Iterator[None]:
    """Turn a write that fails for want of space into an error that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(
            error.errno,
            f"load({name!r}): the disk that holds {root} is full; nothing was left there. Free "
            "some space, or choose another folder with root= or $PSP_DATA_DIR",
        ) from error
