"""The one JSON file that a run leaves behind."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy
import torch

from experiments.runner.files import DamagedFile, digest_of, write_whole

Record = dict[str, Any]

Status = Literal["complete", "diverged"]

FORMAT = 1
"""Counts up when the meaning of a record's fields changes."""


def start_record(experiment: str, config: object) -> Record:
    """The head of a record: what runs, how, and where.

    Args:
        experiment: Name of the experiment.
        config: Its Config dataclass.

    Returns:
        A dict to be completed with results and given to `write_record`.
    """
    assert is_dataclass(config)
    assert not isinstance(config, type)
    return {
        "experiment": experiment,
        "format": FORMAT,
        "config": _plain(asdict(config)),
        "environment": environment(),
        "started": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }


def write_record(path: Path, record: Record) -> Record:
    """Complete a record and write it whole or not at all.

    Args:
        path: The file; its folder is made.
        record: From `start_record`, with results added.

    Returns:
        The record as written.
    """
    record = complete_record(record)
    write_sealed(path, record)
    return record


def write_sealed(path: Path, record: Record) -> None:
    """Write a dict with its checksum, whole or not at all.

    Args:
        path: The file; its folder is made.
        record: Plain JSON values.
    """
    plain = json.loads(json.dumps(record, allow_nan=False))  # as it will be read
    write_whole(path, layout({**plain, "checksum": _checksum(plain)}))


def read_sealed(path: Path) -> Record:
    """What `write_sealed` wrote.

    Raises:
        FileNotFoundError: If there is none.
        DamagedFile: If the file holds anything else.
    """
    try:
        record: Record = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
        checksum = record.pop("checksum")
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError) as error:
        raise DamagedFile(
            f"{path} is not a whole record ({type(error).__name__}: {error}); delete it and run "
            "the experiment again."
        ) from None
    if checksum != _checksum(record):
        raise DamagedFile(
            f"{path} is not as it was written: its checksum does not match; delete it and run the "
            "experiment again."
        )
    return record


def complete_record(record: Record, status: Status = "complete") -> Record:
    """The record with its status and its duration, to be written by whoever asked for it.

    Args:
        record: From `start_record`, with results added.
        status: `diverged` where a loss was not finite.
    """
    duration = datetime.now(UTC) - datetime.fromisoformat(record["started"])
    return {**record, "status": status, "seconds": round(duration.total_seconds(), 1)}


def layout(value: object) -> str:
    """JSON as a file: compact, and fit to be compared by line."""
    return _dumps(value) + "\n"


def read_record(path: Path) -> Record:
    """A record that `write_record` wrote.

    Raises:
        FileNotFoundError: If there is none.
        DamagedFile: If the file is cut short, altered, no record, or of another format.
    """
    record = read_sealed(path)
    if record.get("format") != FORMAT:
        raise DamagedFile(
            f"{path} is not a record of format {FORMAT} but of {record.get('format')!r}; run the "
            "experiment again."
        )
    return record


def environment() -> Record:
    """Versions, machine and commit: what a number may depend on besides the config."""
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
    """The commit of the code, with a plus where the working tree differs from it.

    Returns:
        None where the code is in no repository.
    """
    try:
        commit = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+" if changed else "")


def _checksum(record: Record) -> str:
    """Of the values, however the file is laid out."""
    return digest_of(json.dumps(record, allow_nan=False, sort_keys=True).encode())


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _git(*command: str) -> str:
    here = str(Path(__file__).parent)
    output = subprocess.check_output(
        ["git", "-C", here, *command], text=True, stderr=subprocess.DEVNULL
    )
    return output.strip()


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, Path) else value


def _dumps(value: object, indent: int = 0) -> str:
    """JSON, a line for every innermost list or dict: compact, and fit to be compared by line."""
    flat = json.dumps(value, allow_nan=False)
    if len(flat) < 90 or not isinstance(value, dict | list):
        return flat
    if isinstance(value, list) and not any(isinstance(part, dict | list) for part in value):
        return flat
    pad = " " * (indent + 1)
    if isinstance(value, list):
        parts = [_dumps(part, indent + 1) for part in value]
        opening, closing = "[", "]"
    else:
        parts = [f"{json.dumps(key)}: {_dumps(part, indent + 1)}" for key, part in value.items()]
        opening, closing = "{", "}"
    inner = f",\n{pad}".join(parts)
    return f"{opening}\n{pad}{inner}\n{' ' * indent}{closing}"
