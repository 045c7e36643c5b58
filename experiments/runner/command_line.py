"""Command lines from dataclasses."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import tyro

from experiments.runner.diverged import Diverged
from experiments.runner.files import DamagedFile
from experiments.runner.stopping import Stopped

Config = TypeVar("Config")


def parse(
    config: type[Config],
    presets: Mapping[str, Config],
    description: str | None = None,
    arguments: Sequence[str] | None = None,
) -> Config:
    """A config from the command line: `[PRESET] [--field value …]`.

    Args:
        config: A dataclass whose `__post_init__` raises ValueError for bad values.
        presets: Configs by name; a first word that names one is where the fields start from.
        description: What `--help` says first.
        arguments: By default those of the process.

    Returns:
        The config. A bad value ends the process with status 2 and the error, before any work.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    presets_help = "Presets, as a first word: " + ", ".join(presets) + "."
    try:
        start = None
        if words and not words[0].startswith("-"):
            start = _preset(words.pop(0), presets)
        return tyro.cli(
            config,
            args=words,
            default=config() if start is None else start,
            description=f"{description or ''}\n\n{presets_help}",
        )
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _preset(name: str, presets: Mapping[str, Config]) -> Config:
    if name not in presets:
        raise ValueError(
            f"unknown preset {name!r}: choose from {', '.join(presets)}, or give none."
        )
    return presets[name]


@contextmanager
def reported() -> Iterator[None]:
    """Within this, what a user can do something about ends the process with a line, no traceback.

    That is: a request to stop, a file that is missing, damaged or cannot be written, a loss that
    is not finite.

    Example:
        >>> from experiments.runner import reported
        >>> with reported():
        ...     raise FileNotFoundError("there are no images")
        Traceback (most recent call last):
        SystemExit: 1
    """
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)
    except Stopped as stopped:
        print(f"\n{stopped}", file=sys.stderr)
        sys.exit(128 + stopped.signal)
    except (OSError, DamagedFile, Diverged) as error:
        print(f"\nerror: {error}", file=sys.stderr)
        sys.exit(1)
