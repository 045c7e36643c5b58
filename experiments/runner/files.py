"""Files that are complete or absent, and that show when they are damaged."""

import hashlib
import os
from pathlib import Path


class DamagedFile(ValueError):
    """Error for a file with other content than was written; the message names the file."""


def atomic_write(path: Path, content: str | bytes, *, durable: bool = True) -> None:
    """Write a file under a temporary name, and rename it when it is complete.

    Args:
        path: The file; its folder is created. An existing file stays until the new one is complete.
        content: The whole content.
        durable: Flush to the disk before the renaming, so that a power cut loses nothing.
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
    """Remove the temporary files of killed writers of `path`; no process may be writing it."""
    for partial in path.parent.glob(f".{path.name}.*.part"):
        partial.unlink(missing_ok=True)


def digest_of(data: bytes) -> str:
    """Compute the checksum of a file: 128 bits of BLAKE2b, in hexadecimal."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()
