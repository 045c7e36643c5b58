"""The file that keeps one image set: written whole or not at all, checked whenever it is opened."""

import errno
import json
import os
import shutil
import stat
import time
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from psp_data._sets import NamedSet

KEYS = ("train_images", "train_labels", "test_images", "test_labels")
CHUNK = 1 << 20
MOST_HEADER = 1 << 20
"""Bytes. A header of four names takes some hundreds; one of a hundred million, which safetensors
would read, takes the memory of the machine."""
FORMAT = "1"
LEFT_BEHIND = 24 * 3600
"""Seconds after which a part of a file is no longer being written, but left by a process killed."""


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
        OSError: If the file cannot be written; see `naming_the_folder`.
    """
    _remove_leftovers(path)
    content = safetensors.torch.save(
        {key: tensors[key].contiguous() for key in KEYS},
        {"format": FORMAT, "set": path.stem, "checksum": checksum(tensors)},
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


def read_cache_file(path: Path, known: NamedSet) -> dict[str, Tensor]:
    """The tensors of `path`, memory-mapped, after checking that it is whole.

    Size, names, dtypes, the shape of an image, the range of the labels and how many images a
    class has are always checked, and the format and the set if its metadata name them. The
    contents are checked, by reading the file once (about 0.4 ms per MB), against the checksum of
    the set as published and that in the file's metadata, if there is either. A file of CIFAR that
    other software wrote has neither: a changed pixel in it goes unnoticed.

    Args:
        path: A `.safetensors` file.
        known: What the set in it must be like.

    Returns:
        The tensors under the names in `KEYS`, on the CPU.

    Raises:
        ValueError: If the file is not whole, not as it was written, of another set, or of a newer
            format.
        OSError: If it cannot be opened; see `naming_the_folder`.
    """
    _refuse_hostile_headers(path)
    try:
        with safe_open(path, framework="pt") as file:
            missing = sorted(set(KEYS) - set(file.keys()))
            if missing:
                raise _refusal(path, f"it has no {' and no '.join(missing)}")
            tensors = {key: file.get_tensor(key) for key in KEYS}
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise _refusal(path, f"it is cut short or no safetensors file ({error})") from error
    if metadata.get("format", FORMAT) != FORMAT:
        raise _refusal(path, f"its format {metadata['format']!r} is not known to this psp-data")
    if metadata.get("set", path.stem) != path.stem:
        raise _refusal(path, f"it holds {metadata['set']}")
    expected = metadata.get("checksum")
    for key, tensor in tensors.items():
        dtype, ndim = (torch.uint8, 4) if key.endswith("images") else (torch.int64, 1)
        if tensor.dtype != dtype or tensor.ndim != ndim:
            found = f"{tensor.dtype} of shape {tuple(tensor.shape)}"
            raise _refusal(path, f"{key} should be {dtype} with {ndim} dimensions, but is {found}")
    for part in ("train", "test"):
        _refuse_another_set(path, known, part, tensors[f"{part}_images"], tensors[f"{part}_labels"])
    if expected is not None or known.checksum:
        found = _checksum_of_file(path)
        if expected not in (None, found):
            raise _refusal(path, "its contents have changed since it was written")
        if known.checksum not in ("", found):
            raise _refusal(path, "its contents are not those that were published")
    return tensors


def _refuse_another_set(
    path: Path, known: NamedSet, part: str, images: Tensor, labels: Tensor
) -> None:
    if images.shape[1:] != known.image_shape:
        found, right = (
            "×".join(map(str, shape)) for shape in (images.shape[1:], known.image_shape)
        )
        raise _refusal(path, f"its {part}_images are of {found}, but those published of {right}")
    if not len(images) == len(labels) > 0:
        raise _refusal(path, f"it has {len(images)} {part}_images and {len(labels)} {part}_labels")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= known.num_classes:
        raise _refusal(
            path,
            f"its {part}_labels are {low}..{high}, but those published 0..{known.num_classes - 1}",
        )
    if known.per_class:
        each = known.per_class[part == "test"]
        odd = [count for count in labels.bincount().tolist() if count not in (0, each)]
        if odd:
            raise _refusal(
                path,
                f"a class has {odd[0]} of its {part}_images, but each of those published {each}",
            )


def _refuse_hostile_headers(path: Path) -> None:
    """Look at what safetensors would read, map or wait for without a question."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # a folder fails to open, in plain words
        raise _refusal(path, "it is no regular file")
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
    if size > MOST_HEADER:
        raise _refusal(path, f"it is no such file: its header claims {size:,} bytes")


def _remove_leftovers(path: Path) -> None:
    """Remove what processes that were killed while they wrote this set left beside it."""
    for pattern in (f".{path.name}.*.part", f".{path.stem}-download-*"):
        for left in path.parent.glob(pattern):
            with suppress(OSError):  # as when another process removes it, too
                if time.time() - left.stat().st_mtime > LEFT_BEHIND:
                    shutil.rmtree(left) if left.is_dir() else left.unlink()


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
def naming_the_folder(name: str, root: Path) -> Iterator[None]:
    """Turn what the system says of a file or folder into an error that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # not the system's words but this package's
            raise
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = f"the disk that holds {root} is full; nothing was left there. Free some space"
        else:
            where = f": {error.filename}" if error.filename else ""
            reason = f"{root} cannot be used ({error.strerror}{where}). Put that right"
        raise OSError(
            error.errno,
            f"load({name!r}): {reason}, or choose another folder with root= or $PSP_DATA_DIR",
        ) from error
