"""The smallest command of every study, with all kinds of state, and helpers."""

import json
from pathlib import Path

import pytest

from experiments.runner.checkpoint import Checkpoint
from experiments.runner.progress import Progress
from experiments.runner.settings import RunSettings
from experiments.runner.training import run_to_record

ROOT = Path(__file__).parents[2]

COMMANDS = {
    "capacity": "--families Binary Rotation --untrained Rotation --widths 8 --dims 16 --tasks 3 "
    "--observed 3 --steps 40 --seeds 1 --models 8 --draws 1 --trained-models 2 --jobs 1",
    "permuting": "smoke --method SI EWC LearnedBinary --steps 40 --checkpoint-seconds 0",
    "rotating": "smoke --method Complex --contexts 10 --turns 2 --checkpoint-seconds 0",
    "incremental": "smoke --method SI --steps 4 --checkpoint-seconds 0",
}
"""Arguments of the commands, without `--out`."""

VOLATILE = ("started", "seconds", "seconds_of", "resumed_at", "commits", "checksum")
"""Fields of a record about its making."""


def skip_without_peft(method):
    """Skip a test of LoRA or IA3 where the library that implements them is not installed."""
    if method.startswith(("LoRA", "IA3")):
        pytest.importorskip("peft")


def results(folder):
    """Read every record in a folder without the fields about its making, by path."""
    records = {}
    for path in sorted(folder.rglob("*.json")):
        record = json.loads(path.read_text())
        for name in VOLATILE:
            record.pop(name, None)
        for name in ("peak_memory_mb", "commit"):
            record["environment"].pop(name, None)
        for name in ("out", "jobs"):
            record["config"].pop(name, None)
        records[str(path.relative_to(folder))] = record
    return records


def record_of(study, run, folder, checkpoint_seconds=1e9):
    """Run one run of an experiment, and return its record without writing it."""
    return run_to_record(
        run,
        experiment=study.name,
        prepare=study.prepare,
        folder=folder,
        device="cpu",
        checkpoint_seconds=checkpoint_seconds,
    )


def run_all(study, runs, out, **settings):
    """Run the runs of an experiment as its command does."""
    return study.run_all(runs, RunSettings(out=out, **settings))


def stop_and_resume(study, run, folder, monkeypatch, fraction):
    """Stop a run after a fraction of it, resume it from its checkpoint, and return its record."""

    class Killed(Exception):
        pass

    def kill(progress, path):
        if progress.done > fraction + 1e-9:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "write", kill)
        patch.setattr(Checkpoint, "is_due", lambda checkpoint: True)
        with pytest.raises(Killed):
            record_of(study, run, folder)
    assert (folder / f"{run.name}.checkpoint").exists()
    return record_of(study, run, folder)
