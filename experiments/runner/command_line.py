"""Command lines: `[PRESET] [--field value …]`."""

import ast
import inspect
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field, fields, make_dataclass
from itertools import pairwise
from textwrap import dedent
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import tyro

from experiments.runner.diverged import Diverged
from experiments.runner.files import DamagedFile
from experiments.runner.images import load_images
from experiments.runner.run import AnyRun, select, sweep
from experiments.runner.settings import RunSettings
from experiments.runner.stopping import Stopped

Config = TypeVar("Config")
Preset = TypeVar("Preset")


def print_result(text: str) -> None:
    """Print the result of a finished command, whose files are written.

    A sign that the output's code page lacks is replaced. A reader that has left, as `head` does,
    is no error.
    """
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(text.encode(encoding, "replace").decode(encoding), flush=True)
    except BrokenPipeError:  # the interpreter flushes once more as it exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parse(
    config: type[Config],
    presets: Mapping[str, Config],
    description: str | None = None,
    arguments: Sequence[str] | None = None,
) -> Config:
    """Parse a config, whose fields start from their defaults or from a preset.

    Args:
        config: A dataclass whose `__post_init__` raises ValueError for bad values.
        presets: Configs by name.
        description: First paragraphs of `--help`.
        arguments: Arguments of the command line; by default those of the process.

    Returns:
        The config. A bad value ends the process with status 2 and a message, before any work.
    """
    with _exit_on_bad_value():
        preset, words = _split(presets, arguments)
        default = config() if preset is None else preset
        return tyro.cli(
            config, args=words, default=default, description=_help(description, presets)
        )


def parse_runs(
    run: type[AnyRun],
    presets: Mapping[str, Sequence[AnyRun]],
    description: str | None = None,
    arguments: Sequence[str] | None = None,
) -> tuple[tuple[AnyRun, ...], RunSettings]:
    """Parse the runs of a command: all combinations of its values, or a part of a preset.

    Every field of the runs is an option that takes one or more values; see `select` for their
    effect on a preset.

    Args:
        run: Class of the runs.
        presets: Sweeps of runs by name.
        description: First paragraphs of `--help`.
        arguments: Arguments of the command line; by default those of the process.

    Returns:
        The runs and the settings. A bad value ends the process with status 2 and a message.
    """
    with _exit_on_bad_value():
        preset, words = _split(presets, arguments)
        runs = [run()] if preset is None else preset
        description = _help(description, presets)
        options: Any = tyro.cli(_options_of(runs), args=words, description=description)
        values = {}
        for name in (option.name for option in fields(run)):
            parsed = getattr(options, name)
            if isinstance(parsed, bool):
                parsed = () if parsed == getattr(runs[0], name) else (parsed,)
            if parsed:
                values[name] = tuple(map(_converter(run, name), parsed))
        settings = RunSettings(**{f.name: getattr(options, f.name) for f in fields(RunSettings)})
        return sweep(run, **values) if preset is None else select(preset, values), settings


def _options_of(runs: Sequence[AnyRun]) -> type:
    """Build a dataclass of the settings and, for each field of a run, a tuple of its values."""
    run = type(runs[0])
    hints, documents = get_type_hints(run), _documents(run)
    options: list[Any] = []
    for name in (option.name for option in fields(run)):
        kind = _without_none(hints[name])
        values = list(dict.fromkeys(str(getattr(run, name)) for run in runs))
        default: Any = getattr(runs[0], name)
        if kind is not bool:  # an empty tuple means: not given
            kind, default = tuple[str if hasattr(kind, "parse") else kind, ...], ()  # type: ignore[misc]
        hint = f"(default: {' '.join(values)})"
        argument = tyro.conf.arg(help=documents[name], help_behavior_hint=hint)
        options.append((name, Annotated[kind, argument], field(default=default)))
    unchecked = {"__post_init__": lambda self: None}  # parse_runs builds the settings themselves
    return make_dataclass(
        "Options", options, bases=(RunSettings,), namespace=unchecked, frozen=True, kw_only=True
    )


def _without_none(kind: Any) -> Any:
    """Return T of `T | None`: an optional field is left out instead of given as None."""
    members = [member for member in get_args(kind) if member is not type(None)]
    return members[0] if type(None) in get_args(kind) else kind


def _converter(run: type[AnyRun], name: str) -> Any:
    """Return the function that converts a parsed value to the field's."""
    return getattr(get_type_hints(run)[name], "parse", lambda value: value)


def _documents(run: type) -> dict[str, str]:
    """Read the docstrings of a dataclass's fields from its source."""
    documents = {}
    for base in reversed(run.__mro__):
        if "__dataclass_fields__" not in vars(base):
            continue
        tree = ast.parse(dedent(inspect.getsource(base))).body[0]
        assert isinstance(tree, ast.ClassDef)
        for node, after in pairwise(tree.body):
            if isinstance(node, ast.AnnAssign) and isinstance(after, ast.Expr):
                assert isinstance(node.target, ast.Name)
                documents[node.target.id] = " ".join(ast.literal_eval(after.value).split())
    return documents


def _split(
    presets: Mapping[str, Preset], arguments: Sequence[str] | None
) -> tuple[Preset | None, list[str]]:
    """Return the preset that the first word names, and the other words."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0].startswith("-"):
        return None, words
    if words[0] not in presets:
        raise ValueError(
            f"unknown preset {words[0]!r}: choose from {', '.join(presets)}, or give none."
        )
    return presets[words[0]], words[1:]


def _help(description: str | None, presets: Mapping[str, object]) -> str:
    return f"{description or ''}\n\nPresets, as a first word: {', '.join(presets)}."


@contextmanager
def _exit_on_bad_value() -> Iterator[None]:
    """End the process with status 2 and the message of a ValueError."""
    try:
        yield
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def check_images(name: str, batch: int) -> None:
    """Load an image set; end the process if it is smaller than a training batch.

    Raises:
        OSError: If the set is missing.
        DamagedFile: If its file is damaged.
    """
    images = len(load_images(name).train_labels)
    if batch > images:
        sys.exit(f"error: batch={batch} is more than the {images} training images of {name}.")


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """End the process with a message instead of a traceback for errors that a user can fix.

    They are a request to stop, a file that is missing, damaged or not writable, and a loss that
    is not finite.

    Example:
        >>> from experiments.runner.command_line import exit_on_user_error
        >>> with exit_on_user_error():
        ...     raise FileNotFoundError("no images")
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
