"""Groups of records that differ by their seed alone, and tables of them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from experiments.runner.record import Record


@dataclass(frozen=True)
class Group:
    """The records of one config, one for each seed.

    Attributes:
        config: The config without the seed.
        records: The records in the order of their seeds.
    """

    config: dict[str, Any]
    records: tuple[Record, ...]

    def __getitem__(self, field: str) -> Any:
        """Return a field of the config."""
        return self.config[field]


def groups_of(records: Iterable[Record]) -> list[Group]:
    """Group complete records by everything but the seed, in the order of each group's first one."""
    by_config: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        if record.get("status", "complete") == "complete":
            shared = tuple(sorted((k, str(v)) for k, v in record["config"].items() if k != "seed"))
            by_config.setdefault(shared, []).append(record)
    return [
        Group(
            {name: value for name, value in members[0]["config"].items() if name != "seed"},
            tuple(sorted(members, key=lambda record: int(record["config"]["seed"]))),
        )
        for members in by_config.values()
    ]


def method_of(group: Group) -> str:
    """Return the method with its strength, if it has one, for example `SI (1)`."""
    strength = "" if group["strength"] is None else f" ({group['strength']:g})"
    return f"{group['method']}{strength}"


def fractions_of(record: Record) -> tuple[list[list[float]], list[float]]:
    """Return the fractions of correct images: the rows after each task, and the final row."""
    rows, final = record["rows"], record["final"]
    images = final["images"]
    per_task = images if isinstance(images, list) else [images] * len(final["correct"])
    return (
        [[correct / rows["images"] for correct in row] for row in rows["correct"]],
        [correct / count for correct, count in zip(final["correct"], per_task, strict=True)],
    )


def parameter_cells(group: Group) -> list[str]:
    """Format the last cells of a row: parameters stored, per added model, and number of seeds."""
    counts = group.records[0]["numbers"]
    return [f"{counts['total']:,}", f"{counts['per_added_model']:,}", str(len(group.records))]


PARAMETER_HEADS = ["parameters stored", "per added model", "n"]
"""Heads of `parameter_cells`."""


def report(
    records: Sequence[Record], table: Callable[[Sequence[Record]], str], recipe: Sequence[str] = ()
) -> str:
    """Summarise the runs of a command: the recipe, a table, and the runs that diverged.

    Args:
        records: Records of the runs.
        table: Formats the complete ones.
        recipe: Fields of the config that all runs share.
    """
    config = records[0]["config"]
    complete = [record for record in records if record["status"] == "complete"]
    parts = [", ".join(f"{name} {config[name]}" for name in recipe)]
    parts.append(table(complete) if complete else "")
    for record in records:
        if record["status"] == "diverged":
            config, diverged = record["config"], record["diverged"]
            parts.append(
                f"{config['method']} {config['width']}, seed {config['seed']}, diverged in step "
                f"{diverged['step']}: {diverged['fault']}."
            )
    return "\n\n".join(filter(None, parts))


def percent(correct: float, images: float) -> float:
    """Return the percentage of correct images."""
    return 100 * correct / images


def percent_of(fraction: float) -> float:
    """Convert a fraction to percent, without the rounding error of the product."""
    return round(100 * fraction, 6)


def spread(values: Sequence[float | None], digits: int = 2) -> str:
    """Format mean ± standard deviation; the mean alone of one value, – if a value is missing.

    Example:
        >>> from experiments.runner.groups import spread
        >>> spread([96.0, 97.0]), spread([96.0]), spread([96.0, None])
        ('96.50 ± 0.71', '96.00', '–')
    """
    present = [value for value in values if value is not None]
    if not present or len(present) < len(values):
        return "–"
    deviation = f" ± {stdev(present):.{digits}f}" if len(present) > 1 else ""
    return f"{mean(present):.{digits}f}{deviation}"


def markdown_table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, aligned: bool = False
) -> str:
    """Format a Markdown table.

    Args:
        heads: Titles of the columns.
        rows: Cells, as many as there are heads.
        aligned: Pad the columns to equal widths, for a terminal.

    Example:
        >>> from experiments.runner.groups import markdown_table
        >>> print(markdown_table(["net", "n"], [["2×256", "3"]], aligned=True))
        | net   | n |
        |-------|---|
        | 2×256 | 3 |
    """
    cells = [list(heads), *map(list, rows)]
    if not aligned:
        rule = "|" + "---|" * len(heads)
    else:
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        cells = [
            [cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells
        ]
        rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    first, *others = (f"| {' | '.join(row)} |" for row in cells)
    return "\n".join([first, rule, *others])
