"""The one JSON file that a run leaves behind."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy
import torch

from experiments.runner.files import write_whole

Record = dict[str, Any]

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
    write_whole(path, layout(record))
    return record


def complete_record(record: Record) -> Record:
    """The record with its status and its duration, to be written by whoever asked for it.

    Args:
        record: From `start_record`, with results added.
    """
    duration = datetime.now(UTC) - datetime.fromisoformat(record["started"])
    return {**record, "status": "complete", "seconds": round(duration.total_seconds(), 1)}


def layout(value: object) -> str:
    """JSON as a file: compact, and fit to be compared by line."""
    return _dumps(value) + "\n"


def read_record(path: Path) -> Record:
    """A record that `write_record` wrote.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If the file is cut short, no record, or of another format.
    """
    try:
        record = json.loads(path.read_text())
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is not a whole record ({error}); run the experiment again."
        ) from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        found = record.get("format") if isinstance(record, dict) else type(record).__name__
        raise ValueError(f"{path} is not a record of format {FORMAT} but of {found!r}.")
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
        "commit": _commit(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _commit() -> str | None:
    """The commit of the code, with a plus where the working tree differs from it."""
    try:
        commit = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+" if changed else "")


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
