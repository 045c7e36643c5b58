"""Records of runs that differ by their seed alone, together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from experiments.runner.record import Record, read_record


@dataclass(frozen=True)
class Group:
    """The records of one config, a seed each.

    Args:
        config: All of it but the seed.
        records: In the order of their seeds.
    """

    config: dict[str, Any]
    records: tuple[Record, ...]

    def __getitem__(self, field: str) -> Any:
        """A field of the config."""
        return self.config[field]


def read_runs(folder: Path, experiment: str) -> list[Record]:
    """Every record in a folder of a run that came to its end, in the order of their names.

    Args:
        folder: For example `experiments/results/permuting`; it need not exist.
        experiment: What the records shall be of.

    Raises:
        DamagedFile: If a file there is no whole record.
        ValueError: If one is of another experiment.
    """
    records = [read_record(path) for path in sorted(folder.glob("*.json"))]
    for record in records:
        if record["experiment"] != experiment:
            raise ValueError(
                f"{folder} holds a record of {record['experiment']!r}, not {experiment}."
            )
    return [record for record in records if record["status"] == "complete"]


def groups_of(records: Iterable[Record]) -> list[Group]:
    """The records by what they differ in besides the seed, in the order of their first ones."""
    found: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        shared = tuple(sorted((k, str(v)) for k, v in record["config"].items() if k != "seed"))
        found.setdefault(shared, []).append(record)
    return [
        Group(
            {name: value for name, value in each[0]["config"].items() if name != "seed"},
            tuple(sorted(each, key=lambda record: int(record["config"]["seed"]))),
        )
        for each in found.values()
    ]


def method_of(group: Group) -> str:
    """The method, with its strength if it has one, for example `SI (1)`."""
    strength = "" if group["strength"] is None else f" ({group['strength']:g})"
    return f"{group['method']}{strength}"


def diverged_lines(records: Iterable[Record]) -> list[str]:
    """A sentence on each run that diverged: where, and in what."""
    return [
        f"{record['config']['method']} {record['config']['width']}, seed "
        f"{record['config']['seed']}, diverged in step {record['diverged']['step']}: "
        f"{record['diverged']['fault']}."
        for record in records
        if record["status"] == "diverged"
    ]


def spread(values: Sequence[float | None], digits: int = 2) -> str:
    """Mean ± standard deviation over the seeds, the mean alone of one, – where one is missing.

    Example:
        >>> from experiments.runner.groups import spread
        >>> spread([96.0, 97.0]), spread([96.0]), spread([96.0, None])
        ('96.50 ± 0.71', '96.00', '–')
    """
    there = [value for value in values if value is not None]
    if not there or len(there) < len(values):
        return "–"
    deviation = f" ± {stdev(there):.{digits}f}" if len(there) > 1 else ""
    return f"{mean(there):.{digits}f}{deviation}"
