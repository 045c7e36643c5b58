"""Experiments: runs that train one learner on one stream each, and leave one record each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Generic

from experiments.runner.command_line import (
    check_images,
    exit_on_user_error,
    parse_runs,
    print_result,
)
from experiments.runner.files import DamagedFile
from experiments.runner.grid import run_grid
from experiments.runner.record import Record, config_of, read_record
from experiments.runner.run import AnyRun
from experiments.runner.settings import RunSettings
from experiments.runner.training import Prepare, run_to_record

NAMED = 3
"""Number of missing runs that `Experiment.draw` names."""


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
        announce: Returns the text to print before the first run. Its errors end the command.
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
        folder = settings.out / self.name
        print_result(f"\n{self.report(records)}\n\n{len(records)} records in {folder}.")

    def run_all(self, runs: Sequence[AnyRun], settings: RunSettings) -> list[Record]:
        """Train every run that has no record yet, in parallel processes or on a cluster.

        Args:
            runs: The runs.
            settings: How and where to run them.

        Returns:
            The records of all runs.

        Raises:
            DamagedFile: If a record is not that of the run in its file's name.
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
            DamagedFile: If a record is not that of the run in its file's name.
        """
        records = {run.name: self.read(run, results) for run in self.presets[preset]}
        complete = [
            record for record in records.values() if record and record["status"] == "complete"
        ]
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
