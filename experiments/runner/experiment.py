"""Experiments: runs that train one learner on one stream each, and leave one record each."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol

from experiments.runner.checkpoint import Checkpoint
from experiments.runner.command_line import check_images, exit_on_user_error, parse_runs
from experiments.runner.device import Device, resolve_device
from experiments.runner.diverged import Diverged
from experiments.runner.files import DamagedFile
from experiments.runner.grid import run_grid
from experiments.runner.learner import Learner
from experiments.runner.progress import Progress
from experiments.runner.record import (
    Record,
    Status,
    complete_record,
    config_of,
    read_record,
    start_record,
)
from experiments.runner.run import AnyRun
from experiments.runner.settings import RunSettings
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


NAMED = 3
"""Number of missing runs that `Experiment.draw` names."""

Prepare = Callable[[AnyRun, Any], tuple[Learner, Stream, Measurement]]
"""Builds the learner, the stream and the measurement of a run on a torch device."""


@dataclass(frozen=True)
class Experiment(Generic[AnyRun]):
    """A study that trains many runs.

    Attributes:
        name: Name of the command and of the folder of records.
        run: Class of its runs.
        presets: Sweeps of runs by name; each in the order of the tables.
        prepare: Function at the top of a module that builds the parts of a run.
        report: Text for the terminal about some records.
        tables: By name, Markdown tables of the complete records of a preset.
        figures: By preset, functions that draw its complete records to a path without suffix, and
            return the files.
        tables_without_records: Names of the tables that exist even if no run has a record.
        announce: Text to print before the first run; it may raise what ends the command.
    """

    name: str
    run: type[AnyRun]
    presets: Mapping[str, Sequence[AnyRun]]
    prepare: Prepare[AnyRun]
    report: Callable[[Sequence[Record]], str]
    tables: Mapping[str, Callable[[Sequence[Record]], str]] = field(default_factory=dict)
    figures: Mapping[str, Callable[[Sequence[Record], Path], list[Path]]] = field(
        default_factory=dict
    )
    tables_without_records: tuple[str, ...] = ()
    announce: Callable[[Sequence[AnyRun], RunSettings], str] | None = None

    def main(self, description: str | None = None, arguments: Sequence[str] | None = None) -> None:
        """Run the command.

        Args:
            description: First paragraphs of `--help`.
            arguments: Arguments of the command line; by default those of the process.
        """
        runs, settings = parse_runs(self.run, self.presets, description, arguments)
        with exit_on_user_error():
            for name, batch in {(name, run.batch) for run in runs for name in run.image_sets}:
                check_images(name, batch)  # before any work
            if self.announce:
                print(self.announce(runs, settings), flush=True)
            records = self.run_all(runs, settings)
        print(f"\n{self.report(records)}\n\n{len(records)} records in {settings.out / self.name}.")

    def run_all(self, runs: Sequence[AnyRun], settings: RunSettings) -> list[Record]:
        """Train every run that has no record yet, in parallel processes or on a cluster.

        Args:
            runs: The runs.
            settings: How and where to run them.

        Returns:
            The records of all runs.

        Raises:
            DamagedFile: If a file holds the record of another run than its name says.
        """
        folder = (settings.out / self.name).absolute()
        for run in runs:
            self.read(run, settings.out)
        function = partial(
            run_to_record,
            experiment=self.name,
            prepare=self.prepare,
            folder=folder,
            device=settings.device,
            checkpoint_seconds=settings.checkpoint_seconds,
        )
        return run_grid(function, runs, settings, title=self.name, folder=folder)

    def records_of(self, preset: str, results: Path) -> tuple[list[Record], list[str]]:
        """Read the complete records of a preset.

        Args:
            preset: Name of the preset.
            results: Folder that holds the experiment's folder of records.

        Returns:
            The records in the order of the runs, and the names of the runs without a record.

        Raises:
            DamagedFile: If a file holds the record of another run than its name says.
        """
        records = {run.name: self.read(run, results) for run in self.presets[preset]}
        complete = [each for each in records.values() if each and each["status"] == "complete"]
        return complete, [name for name, record in records.items() if record is None]

    def table(self, name: str, preset: str, results: Path) -> str:
        """Format a table of the complete records of a preset.

        Raises:
            FileNotFoundError: If there is no record.
            KeyError: If there is no table of that name.
        """
        records, _ = self.records_of(preset, results)
        if not records and name not in self.tables_without_records:
            raise FileNotFoundError(f"{results / self.name} has no record of the preset {preset}.")
        return self.tables[name](records)

    def draw(self, results: Path, out: Path) -> Iterator[str]:
        """Draw the figures for which there are records; yield the files and what is missing."""
        for preset, draw in self.figures.items():
            records, missing = self.records_of(preset, results)
            yield from map(str, draw(records, out / f"{self.name}-{preset}"))
            if missing:
                total = len(self.presets[preset])
                others = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
                yield (
                    f"{self.name}-{preset}: {len(missing)} of {total} runs are missing: "
                    f"{', '.join(missing[:NAMED])}{others}"
                )

    def read(self, run: AnyRun, results: Path) -> Record | None:
        """Read the record of a run; None if there is none.

        Raises:
            DamagedFile: If the file holds the record of another run.
        """
        path = results / self.name / f"{run.name}.json"
        if not path.exists():
            return None
        record = read_record(path)
        config = config_of(self.run()) | record["config"]  # an old record lacks newer fields
        if record["experiment"] != self.name or config != config_of(run):
            raise DamagedFile(
                f"{path} holds the record of another run than its name says; move it away, or use "
                "another folder."
            )
        return record


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
        The record: config, environment, seconds, `numbers` (the count of stored parameters) and
        everything measured. Its status is `diverged` if a loss or a parameter was not finite; then
        `diverged` holds the step and the fault.
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
        # One thread on a CPU adds in a fixed order; torch promises that of no other device.
        "deterministic": learner.device.type == "cpu",
        "peak_memory_mb": _peak_memory_mb(),
    }
    record |= {name: part for name, part in log.items() if name not in ("step", "seconds")}
    # Of the whole run, including the time before the latest checkpoint.
    seconds = {"seconds": round(sum(parts.values()), 1), "seconds_of": parts}
    numbers = {"numbers": learner.num_parameters(stream.num_contexts)}
    return complete_record(record, status) | seconds | numbers


def _peak_memory_mb() -> int | None:
    """Return the peak of this process, earlier runs included; None if the system does not say."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (2**20 if sys.platform == "darwin" else 2**10)
