"""Files that are there whole or not at all, and that say when they are damaged."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class DamagedFile(ValueError):
    """A file does not hold what was written into it; the message names it."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A place to write a file, which takes the place of `path` when it is complete.

    Args:
        path: The file; its folder is made. An old one stays until the new one is complete.

    Yields:
        Where to write it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes, *, durable: bool = True) -> None:
    """Write a file, in such a way that nobody ever meets half of it.

    Args:
        path: The file; its folder is made. An old one stays until the new one is complete.
        content: What it shall hold.
        durable: Whether to wait until a power cut could not take it back.
    """
    data = content.encode() if isinstance(content, str) else content
    with written_whole(path) as partial, partial.open("wb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def remove_partial(path: Path) -> None:
    """Remove what a writer of `path` that was killed has left behind; nobody else may write it."""
    for partial in path.parent.glob(f".{path.name}.*.part"):
        partial.unlink(missing_ok=True)


def digest_of(data: bytes) -> str:
    """What tells a damaged file from a whole one: 128 bits of BLAKE2b, in hexadecimal."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()
