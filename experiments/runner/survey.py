"""Surveys: studies that measure many things and leave one record."""

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.runner.command_line import check_images, exit_on_user_error, parse, print_result
from experiments.runner.record import Record, read_record, write_record


@dataclass(frozen=True)
class Survey:
    """A study that leaves one record.

    Attributes:
        name: Name of the command.
        config: Class of its configs: `Settings` with `dataset`, `batch`, and `name`, the stem of
            the files, which identifies the config.
        presets: Configs by name.
        measure: Measures everything and returns the record, to be written. It may keep partial
            results in the folder `<name>.parts`.
        report: Text for the terminal about a record.
        tables: Markdown tables of a record by name.
        figures: Draws a record to a path without suffix, and returns the files.
        commands: Other surveys, each run instead if its name is the first argument.
    """

    name: str
    config: type[Any]
    presets: Mapping[str, Any]
    measure: Callable[[Any], Record]
    report: Callable[[Record], str]
    tables: Mapping[str, Callable[[Record], str]] = field(default_factory=dict)
    figures: Callable[[Record, Path], list[Path]] = lambda record, path: []
    commands: Mapping[str, "Survey"] = field(default_factory=dict)

    def main(self, description: str | None = None, arguments: Sequence[str] | None = None) -> None:
        """Run the command.

        Args:
            description: First paragraphs of `--help`.
            arguments: Arguments of the command line; by default those of the process.
        """
        arguments = sys.argv[1:] if arguments is None else arguments
        if arguments and arguments[0] in self.commands:
            return self.commands[arguments[0]].main(description, arguments[1:])
        config = parse(self.config, self.presets, description, arguments)
        with exit_on_user_error():
            check_images(config.dataset, config.batch)  # before any work
            path = config.out / f"{config.name}.json"
            record = write_record(path, self.measure(config))
            shutil.rmtree(path.with_suffix(".parts"), ignore_errors=True)
            files = [path, *self.figures(record, path.with_suffix(""))]
        written = "\n  ".join(map(str, files))
        print_result(f"\n{self.report(record)}\n\n{record['seconds']:.0f} s. Written:\n  {written}")

    def draw(self, results: Path, out: Path) -> Iterator[str]:
        """Draw the figures of every record; yield the files."""
        for path in sorted(results.glob(f"{self.name}-*.json")):
            yield from map(str, self.figures(read_record(path), out / path.stem))
