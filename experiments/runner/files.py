"""Files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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


def write_whole(path: Path, text: str) -> None:
    """Write a text file, in such a way that a reader never meets half of it.

    Args:
        path: The file; its folder is made. An old one stays until the new one is complete.
        text: What it shall hold.
    """
    with written_whole(path) as partial:
        partial.write_text(text)
