"""Files that are complete or absent, and that show when they are damaged."""

import hashlib
import os
from pathlib import Path


class DamagedFile(ValueError):
    """A file does not hold what was written into it; the message names it."""


def atomic_write(path: Path, content: str | bytes, *, durable: bool = True) -> None:
    """Write a file beside its destination and move it there when it is complete.

    Args:
        path: The file; its folder is created. An old file stays until the new one is complete.
        content: The whole content.
        durable: Flush to the disk before the move, so that a power cut loses nothing.
    """
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def remove_partial(path: Path) -> None:
    """Remove what a killed writer of `path` left behind; no other process may write it now."""
    for partial in path.parent.glob(f".{path.name}.*.part"):
        partial.unlink(missing_ok=True)


def digest_of(data: bytes) -> str:
    """Compute the checksum of a file: 128 bits of BLAKE2b, in hexadecimal."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()
