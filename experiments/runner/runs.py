"""Many runs that train one learner on one stream each, and leave one record each."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from experiments.runner.checkpoint import Checkpoint
from experiments.runner.diverged import Diverged
from experiments.runner.experiment import Experiment
from experiments.runner.files import DamagedFile
from experiments.runner.grid import run_grid
from experiments.runner.learner import Learner
from experiments.runner.progress import Progress
from experiments.runner.record import Record, Status, complete_record, read_record, start_record
from experiments.runner.settings import RunSettings
from experiments.runner.trainer import Log, train
from psp_data import Stream


class Named(Protocol):
    """A frozen dataclass: all that a run's results depend on."""

    @property
    def name(self) -> str:
        """What the run's files are called; no two runs share it."""

    @property
    def title(self) -> str:
        """The run in few words, for the progress bar."""

    def cost(self) -> float:
        """A guess of the run's time, in arbitrary units."""


AnyRun = TypeVar("AnyRun", bound=Named)


class Measurement(Protocol):
    """What a run measures: see `train`."""

    log: Log

    def __call__(self, done: int, loss: float) -> str:
        """Measure what is due after `done` steps; returns in words what it shows."""


def name_of_run(run: Any, parts: Sequence[str], spelled: Sequence[str]) -> str:
    """A file name that says what differs from the defaults.

    Args:
        run: A dataclass.
        parts: What the name begins with.
        spelled: The fields that those parts spell; of the others it takes the ones that are not
            at their default.

    Example:
        >>> from dataclasses import dataclass
        >>> from experiments.runner.runs import name_of_run
        >>> @dataclass
        ... class Run:
        ...     seed: int
        ...     learning_rate: float = 1e-4
        ...     batch: int = 128
        >>> name_of_run(Run(3, batch=64), ["seed3"], ["seed"])
        'seed3-batch64'
    """
    words = list(parts)
    for field in fields(run):
        value = getattr(run, field.name)
        if field.name not in spelled and value != field.default:
            text = spelled_number(value) if isinstance(value, float) else str(value)
            words.append(field.name.replace("_", "") + text)
    return "-".join(words)


def spelled_number(value: float) -> str:
    """A number as a file name has it: short if that is all of it, else whole.

    Example:
        >>> from experiments.runner.runs import spelled_number
        >>> spelled_number(100.0), spelled_number(0.1), spelled_number(0.123456789)
        ('100', '0.1', '0.123456789')
    """
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def run_all(
    experiment: str,
    runs: Sequence[AnyRun],
    function: Callable[..., Record],
    settings: RunSettings,
) -> list[Record]:
    """Run what has no record yet, in `settings.jobs` processes or on the cluster.

    Args:
        experiment: Names the folder in `settings.out`.
        runs: What to run.
        function: Called with a run, `folder`, `device` and `checkpoint_seconds`; defined at the
            top of a module.
        settings: How.

    Returns:
        The records of all runs, as they are in the folder.

    Raises:
        DamagedFile: If a file there holds the record of another run than its name says.
    """
    folder = (settings.out / experiment).absolute()
    for run in runs:
        path = folder / f"{run.name}.json"
        if path.exists():
            check_record(read_record(path), path, experiment, run)
    return run_grid(
        partial(
            function,
            folder=folder,
            device=settings.device,
            checkpoint_seconds=settings.checkpoint_seconds,
        ),
        runs,
        settings,
        title=experiment,
        folder=folder,
    )


def check_record(record: Record, path: Path, experiment: str, run: AnyRun) -> None:
    """Refuse a record that is of other settings than its name stands for.

    Args:
        record: From `path`.
        path: For the message.
        experiment: What it shall be of.
        run: Likewise.

    Raises:
        DamagedFile: If it is not.
    """
    if record["experiment"] != experiment or type(run)(**record["config"]) != run:
        raise DamagedFile(
            f"{path} holds the record of another run than its name says; move it away, or take "
            "another folder."
        )


def train_to_record(
    experiment: str,
    run: Named,
    learner: Learner,
    stream: Stream,
    measurement: Measurement,
    *,
    num_steps: int,
    every: int,
    folder: Path,
    checkpoint_seconds: float,
) -> Record:
    """Train and measure, from the beginning or from where an earlier attempt was stopped.

    Args:
        experiment: Its name.
        run: What is run: its config in the record.
        learner: See `train`.
        stream: See `train`.
        measurement: See `train`; what it puts into its log is in the record.
        num_steps: See `train`.
        every: See `train`.
        folder: Where the run keeps its checkpoint and its progress.
        checkpoint_seconds: See `Checkpoint.every_seconds`.

    Returns:
        The record: config, environment, seconds, and all that was measured. Its status is
        `diverged` where a loss or a parameter was not finite; where it was is then in it.
    """
    record = start_record(experiment, run)
    log = measurement.log
    status: Status = "complete"

    def observe(done: int, loss: float) -> None:
        words = f"{run.title} {measurement(done, loss)}"
        Progress(done / num_steps, words).write(folder / f"{run.name}.progress")

    try:
        train(
            learner,
            stream,
            log,
            num_steps=num_steps,
            every=every,
            observe=observe,
            checkpoint=Checkpoint(
                folder / f"{run.name}.checkpoint",
                # The name spells only what is not at its default, and a default may change.
                of=json.dumps({"experiment": experiment, **record["config"]}),
                every_seconds=checkpoint_seconds,
            ),
        )
    except Diverged as diverged:
        status = "diverged"
        record |= {"diverged": {"step": diverged.step, "fault": diverged.fault}}
    parts = {part: round(seconds, 2) for part, seconds in log["seconds"].items()}
    record["environment"] |= {
        "device": learner.device.type,
        # One thread on a CPU adds in one order; torch promises no such thing of other devices.
        "deterministic": learner.device.type == "cpu",
        "peak_memory_mb": _peak_memory_mb(),
    }
    record |= {name: part for name, part in log.items() if name not in ("step", "seconds")}
    # The whole run, not only what came after the last checkpoint.
    seconds = {"seconds": round(sum(parts.values()), 1), "seconds_of": parts}
    return complete_record(record, status) | seconds


def _peak_memory_mb() -> int | None:
    """Of this process so far, which may have done other runs before; None where none can tell."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (2**20 if sys.platform == "darwin" else 2**10)


class Unmoved:
    """The presets, tables and figures of a study that is not yet an `Experiment`."""

    def __init__(self, name: str, presets: Any, tables: Any, figures: Any, optional: Any = ()):
        self.name = name
        self.presets = {preset: config.runs() for preset, config in presets.items()}
        self.tables = tables
        self.figures = figures
        self.tables_without_records = optional

    def read(self, run: Any, results: Path) -> Record | None:
        """Read the record of a run; None if there is none."""
        path = results / self.name / f"{run.name}.json"
        if not path.exists():
            return None
        record = read_record(path)
        check_record(record, path, self.name, run)
        return record

    records_of: Any = Experiment.records_of
    table: Any = Experiment.table
    draw: Any = Experiment.draw
