"""The file that caches one image set: written atomically, checked whenever it is opened."""

import json
import os
import shutil
import stat
import time
import uuid
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from psp_data._sets import NamedSet

KEYS = ("train_images", "train_labels", "test_images", "test_labels")
FORMAT = "1"
READ_BYTES = 1 << 20
MAX_HEADER_BYTES = 1 << 20
"""A real header has a few hundred bytes. safetensors itself accepts headers of 100 MB, and parsing
such a header can take all the memory of the machine."""
STALE_SECONDS = 24 * 3600
"""Age at which a temporary file is taken for the remains of a killed process."""


def checksum(tensors: dict[str, Tensor]) -> str:
    """Return the CRC-32 of shapes and contents in the order of `KEYS`, in hexadecimal."""
    crc = 0
    for key in KEYS:
        crc = zlib.crc32(_shape_bytes(list(tensors[key].shape)), crc)
        crc = zlib.crc32(tensors[key].contiguous().numpy().data, crc)
    return f"{crc:08x}"


def write_cache_file(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write the tensors to `path`, replacing an existing file atomically.

    The bytes go to a temporary file in the same folder, which is then renamed. So other
    processes see the old file or the new one, never a partial one. If the write fails, the
    temporary file is removed.

    Args:
        path: A `.safetensors` file in an existing folder.
        tensors: Images and labels under the names in `KEYS`.

    Raises:
        OSError: If the file cannot be written.
    """
    _remove_stale_files(path)
    content = safetensors.torch.save(
        {key: tensors[key].contiguous() for key in KEYS},
        {"format": FORMAT, "set": path.stem, "checksum": checksum(tensors)},
    )
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # some disks report only here that they are full
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_cache_file(path: Path, expected: NamedSet) -> dict[str, Tensor]:
    """Check the file at `path` and map its tensors into memory.

    The size, names, dtypes, image shape, range of the labels and number of images per class are
    always checked; the format and the name of the set if the metadata has them. The contents are
    compared with the published checksum of the set and with the checksum in the metadata, where
    they exist; this reads the file once, about 0.4 ms per MB. A CIFAR file that other software
    wrote has neither checksum, so a changed pixel in it cannot be detected.

    Args:
        path: A `.safetensors` file.
        expected: Expected properties of the set.

    Returns:
        The tensors under the names in `KEYS`, on the CPU.

    Raises:
        ValueError: If the file is damaged, holds another set, or has a newer format.
        OSError: If the file cannot be opened.
    """
    _check_type_and_header_size(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in KEYS}
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise _unusable(path, f"it is damaged or lacks a tensor ({error})") from error
    first_fault = next(_faults(path, expected, tensors, metadata), None)
    if first_fault:
        raise _unusable(path, first_fault)
    return tensors


def _check_type_and_header_size(path: Path) -> None:
    """Raise ValueError for a file that safetensors would wait for or read without a limit."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # opening a folder fails with a clear error
        raise _unusable(path, "it is not a regular file")
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
    if size > MAX_HEADER_BYTES:
        raise _unusable(path, f"its header claims {size:,} bytes, more than any image set needs")


def _faults(
    path: Path, expected: NamedSet, tensors: dict[str, Tensor], metadata: dict[str, str]
) -> Iterator[str]:
    """Yield the reasons why the file cannot be used. Later checks assume that earlier ones pass."""
    if metadata.get("format", FORMAT) != FORMAT:
        yield f"this version of psp-data cannot read its format {metadata['format']!r}"
    if metadata.get("set", path.stem) != path.stem:
        yield f"it holds {metadata['set']}"
    for part in ("train", "test"):
        yield from _faults_of_part(
            expected, part, tensors[f"{part}_images"], tensors[f"{part}_labels"]
        )
    written = metadata.get("checksum")
    if written is not None or expected.checksum:
        current = _checksum_of_file(path)
        if written not in (None, current):
            yield "its contents have changed since it was written"
        if expected.checksum not in ("", current):
            yield "its contents differ from the published set"


def _faults_of_part(expected: NamedSet, part: str, images: Tensor, labels: Tensor) -> Iterator[str]:
    """Yield the reasons why the train or test part cannot belong to the set."""
    for name, tensor, dtype, ndim in (
        ("images", images, torch.uint8, 4),
        ("labels", labels, torch.int64, 1),
    ):
        if tensor.dtype != dtype or tensor.ndim != ndim:
            form = f"{tensor.dtype} of shape {tuple(tensor.shape)}"
            yield f"{part}_{name} must be {dtype} with {ndim} dimensions, but is {form}"
    if images.shape[1:] != expected.image_shape:
        shape, published = (
            "×".join(map(str, sizes)) for sizes in (images.shape[1:], expected.image_shape)
        )
        yield f"its {part}_images are {shape}, but the published ones {published}"
    if not len(images) == len(labels) > 0:
        yield f"it has {len(images)} {part}_images and {len(labels)} {part}_labels"
    low, high, highest = int(labels.min()), int(labels.max()), expected.num_classes - 1
    if low < 0 or high > highest:
        yield f"its {part}_labels are {low}..{high}, but the published ones 0..{highest}"
    if expected.per_class:
        published_count = expected.per_class[part == "test"]
        for count in labels.bincount().tolist():
            if count not in (0, published_count):
                yield f"a class has {count} {part}_images, but a published one {published_count}"


def _checksum_of_file(path: Path) -> str:
    """Return the `checksum` of the tensors in the file, without mapping it.

    Reading through one small buffer takes half the time of touching every mapped page.
    """
    buffer = memoryview(bytearray(READ_BYTES))
    crc = 0
    with path.open("rb", buffering=0) as file:
        header_size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(header_size))
        for key in KEYS:
            start, end = header[key]["data_offsets"]
            crc = zlib.crc32(_shape_bytes(header[key]["shape"]), crc)
            file.seek(8 + header_size + start)
            left = end - start
            while left and (count := file.readinto(buffer[: min(left, READ_BYTES)])):
                crc = zlib.crc32(buffer[:count], crc)
                left -= count
    return f"{crc:08x}"


def _shape_bytes(shape: list[int]) -> bytes:
    return json.dumps(shape).encode()


def _remove_stale_files(path: Path) -> None:
    """Remove the temporary files of killed processes that were writing this set."""
    for pattern in (f".{path.name}.*.part", f".{path.stem}-download-*"):
        for stale in path.parent.glob(pattern):
            with suppress(OSError):  # another process may be removing it, too
                if time.time() - stale.stat().st_mtime > STALE_SECONDS:
                    shutil.rmtree(stale) if stale.is_dir() else stale.unlink()


def _unusable(path: Path, reason: str) -> ValueError:
    return ValueError(
        f"{path} cannot be used: {reason}. Replace it with an intact copy, or rebuild it with "
        f"load({path.stem!r}, rebuild=True)."
    )
