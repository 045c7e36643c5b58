"""Training of one run, from its beginning or its latest checkpoint to its record."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from experiments.runner.added import num_bytes
from experiments.runner.checkpoint import Checkpoint
from experiments.runner.device import Device, resolve_device
from experiments.runner.diverged import Diverged
from experiments.runner.learner import Learner
from experiments.runner.progress import Progress
from experiments.runner.record import Record, Status, complete_record, start_record
from experiments.runner.run import AnyRun
from experiments.runner.trainer import Log, train
from psp_data import Stream


class Measurement(Protocol):
    """Measurements of a run; see `train`.

    Attributes:
        log: The measurements, which become parts of the record.
        num_steps: Number of steps of the run.
        every: Number of steps between two measurements.
    """

    log: Log
    num_steps: int
    every: int

    def __call__(self, done: int, loss: float) -> str:
        """Measure what is due after `done` steps; return the current result in words."""


Prepare = Callable[[AnyRun, Any], tuple[Learner, Stream, Measurement]]
"""Builds the learner, the stream and the measurement of a run on a torch device."""


def run_to_record(
    run: AnyRun,
    *,
    experiment: str,
    prepare: Prepare[AnyRun],
    folder: Path,
    device: Device,
    checkpoint_seconds: float,
) -> Record:
    """Train and measure a run, from the beginning or from its latest checkpoint.

    Args:
        run: The run: the config of the record.
        experiment: Name of the experiment.
        prepare: See `Experiment`.
        folder: Folder of the checkpoint and the progress.
        device: Device to compute on.
        checkpoint_seconds: See `Checkpoint.every_seconds`.

    Returns:
        The record: config, environment, seconds, `numbers` (parameters stored),
        `bytes_per_added_model` (by which a file grows) and the measurements. Its status is
        `diverged` if a loss or a parameter was not finite; then `diverged` holds the step and the
        fault.
    """
    learner, stream, measurement = prepare(run, resolve_device(device))
    record = start_record(experiment, run)
    log = measurement.log
    status: Status = "complete"

    def observe(done: int, loss: float) -> None:
        note = f"{run.name}, {measurement(done, loss)}"
        Progress(done / measurement.num_steps, note).write(folder / f"{run.name}.progress")

    try:
        train(
            learner,
            stream,
            log,
            num_steps=measurement.num_steps,
            every=measurement.every,
            observe=observe,
            checkpoint=Checkpoint(
                folder / f"{run.name}.checkpoint",
                # The name leaves out fields at their defaults, and a default may change.
                description=json.dumps({"experiment": experiment, **record["config"]}),
                every_seconds=checkpoint_seconds,
            ),
        )
    except Diverged as diverged:
        status = "diverged"
        record |= {"diverged": {"step": diverged.step, "fault": diverged.fault}}
    parts = {part: round(seconds, 2) for part, seconds in log["seconds"].items()}
    record["environment"] |= {
        "device": learner.device.type,
        # One thread on a CPU adds in a fixed order; torch promises that of no other device.
        "deterministic": learner.device.type == "cpu",
        "peak_memory_mb": _peak_memory_mb(),
    }
    record |= {name: part for name, part in log.items() if name not in ("step", "seconds")}
    # Of the whole run, including the time before the latest checkpoint.
    seconds = {"seconds": round(sum(parts.values()), 1), "seconds_of": parts}
    counts = {
        "numbers": learner.num_parameters(stream.num_contexts),
        "bytes_per_added_model": num_bytes(learner.added_tensors()),
    }
    return complete_record(record, status) | seconds | counts


def _peak_memory_mb() -> int | None:
    """Return the peak of this process, earlier runs included; None if the system does not say."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (2**20 if sys.platform == "darwin" else 2**10)
