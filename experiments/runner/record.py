"""Records: the JSON file that a run leaves."""

import json
import os
import platform
import subprocess
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy
import torch

from experiments.runner.files import DamagedFile, atomic_write, digest_of

Record = dict[str, Any]

Status = Literal["complete", "diverged"]

FORMAT = 1
"""Version of the meaning of a record's fields."""


def start_record(experiment: str, config: Any) -> Record:
    """Return the head of a record: the experiment, its config, and the environment.

    Args:
        experiment: Name of the experiment.
        config: A flat dataclass.

    Returns:
        A dict, to be completed with results and given to `write_record`.
    """
    return {
        "experiment": experiment,
        "format": FORMAT,
        "config": config_of(config),
        "environment": environment(),
        "started": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }


def config_of(config: Any) -> Record:
    """Return the fields of a flat dataclass as JSON values: objects as strings, tuples as lists.

    Paths are left out: they mean nothing on another machine.

    Example:
        >>> from dataclasses import dataclass
        >>> from pathlib import Path
        >>> from experiments.runner.record import config_of
        >>> @dataclass
        ... class Config:
        ...     out: Path
        ...     widths: tuple[int, ...] = (1, 2)
        >>> config_of(Config(Path("runs")))
        {'widths': [1, 2]}
    """
    values = {field.name: getattr(config, field.name) for field in fields(config)}
    return {name: _plain(value) for name, value in values.items() if not isinstance(value, Path)}


def write_record(path: Path, record: Record) -> Record:
    """Complete a record and write it atomically.

    Args:
        path: The file; its folder is created.
        record: A dict from `start_record`, with results added.

    Returns:
        The record as written.
    """
    record = complete_record(record)
    write_checksummed(path, record)
    return record


def write_checksummed(path: Path, record: Record) -> None:
    """Write a dict with its checksum, atomically.

    Args:
        path: The file; its folder is created.
        record: Plain JSON values.
    """
    plain = json.loads(json.dumps(record, allow_nan=False))  # as it will be read
    atomic_write(path, layout({**plain, "checksum": _checksum(plain)}) + "\n")


def read_checksummed(path: Path) -> Record:
    """Read a dict that `write_checksummed` wrote.

    Raises:
        FileNotFoundError: If there is no file.
        DamagedFile: If the file holds anything else.
    """
    try:
        record: Record = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
        checksum = record.pop("checksum")
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError) as error:
        raise DamagedFile(
            f"{path} is not a complete record ({type(error).__name__}: {error}); delete it and "
            "run the experiment again."
        ) from None
    if checksum != _checksum(record):
        raise DamagedFile(
            f"{path} has changed since it was written: its checksum does not match; delete it and "
            "run the experiment again."
        )
    return record


def complete_record(record: Record, status: Status = "complete") -> Record:
    """Return the record with its status and its duration.

    Args:
        record: A dict from `start_record`, with results added.
        status: `diverged` if a loss or a parameter was not finite.
    """
    duration = datetime.now(UTC) - datetime.fromisoformat(record["started"])
    return {**record, "status": status, "seconds": round(duration.total_seconds(), 1)}


def read_record(path: Path) -> Record:
    """Read a record that `write_record` wrote.

    Raises:
        FileNotFoundError: If there is no file.
        DamagedFile: If the file is truncated, altered, not a record, or of another format.
    """
    record = read_checksummed(path)
    if record.get("format") != FORMAT:
        raise DamagedFile(
            f"{path} is a record of format {record.get('format')!r}, not {FORMAT}; move it away "
            "and run the experiment again."
        )
    return record


def environment() -> Record:
    """Return versions, machine and commit, which may influence a result like the config."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads_per_process": 1,
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "commit": current_commit(),
    }


def current_commit() -> str | None:
    """Return the commit of the code, with a plus if the working tree differs from it.

    Returns:
        None if the code is not in a repository.
    """
    try:
        commit = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+" if changed else "")


def layout(value: object, indent: int = 0) -> str:
    """Format JSON with one line for each innermost list or dict: compact, and easy to diff."""
    flat = json.dumps(value, allow_nan=False)
    if len(flat) < 90 or not isinstance(value, dict | list):
        return flat
    if isinstance(value, list) and not any(isinstance(part, dict | list) for part in value):
        return flat
    pad = " " * (indent + 1)
    if isinstance(value, list):
        parts = [layout(part, indent + 1) for part in value]
        opening, closing = "[", "]"
    else:
        parts = [f"{json.dumps(key)}: {layout(part, indent + 1)}" for key, part in value.items()]
        opening, closing = "{", "}"
    inner = f",\n{pad}".join(parts)
    return f"{opening}\n{pad}{inner}\n{' ' * indent}{closing}"


def _checksum(record: Record) -> str:
    """Compute the checksum of the values, independent of the layout of the file."""
    return digest_of(json.dumps(record, allow_nan=False, sort_keys=True).encode())


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _git(*command: str) -> str:
    folder = str(Path(__file__).parent)
    output = subprocess.check_output(
        ["git", "-C", folder, *command], text=True, stderr=subprocess.DEVNULL
    )
    return output.strip()


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return value if isinstance(value, str | int | float | None) else str(value)
