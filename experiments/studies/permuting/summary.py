"""Results and tables of the study on permuted images, from its records."""

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.metrics import average_accuracy, forgetting, last_average_accuracy
from experiments.runner.groups import (
    PARAMETER_HEADS,
    Group,
    fractions_of,
    groups_of,
    markdown_table,
    method_of,
    parameter_cells,
    percent_of,
    spread,
)
from experiments.runner.record import Record
from experiments.studies.permuting.paper import TABLE, TABLE_RECIPE

LAST = 10
"""Number of last tasks that the paper's table averages."""

RECIPE = ("dataset", "tasks", "steps", "batch", "learning_rate", "hidden_layers")
"""Fields of the config that all runs of a report share."""

COLUMNS = (
    "net",
    "method",
    "last ten (%)",
    "paper (%)",
    "all (%)",
    "forgetting (%)",
    "task 0 (%)",
    *PARAMETER_HEADS,
)

DETAILS = ("net", "forgetting (%)", "task 0 (%)")
"""Columns that `paper_table` leaves out."""


@dataclass(frozen=True)
class Result:
    """Result of one run; accuracies in percent."""

    last: float
    all: float
    forgetting: float | None
    task_0: float


def result_of(record: Record) -> Result:
    """Average the final row, on all test images; forgetting is measured on the rows' own images.

    Args:
        record: Record of one run.

    Example:
        >>> from experiments.studies.permuting.summary import result_of
        >>> rows = {"images": 10, "correct": [[9], [8, 10]]}
        >>> result_of({"rows": rows, "final": {"images": 100, "correct": [82, 98]}})
        Result(last=90.0, all=90.0, forgetting=10.0, task_0=82.0)
    """
    rows, final = fractions_of(record)
    measured = [*rows[:-1], final]
    return Result(
        last=percent_of(last_average_accuracy(measured, min(LAST, len(final)))),
        all=percent_of(average_accuracy(measured)),
        forgetting=percent_of(forgetting(rows)) if len(rows) > 1 else None,
        task_0=percent_of(final[0]),
    )


def net_of(group: Group) -> str:
    """Describe the network, for example `2×256`, with its precision if that is not float32."""
    precision = "" if group["precision"] == "float32" else f", {group['precision']}"
    return f"{group['hidden_layers']}×{group['width']}{precision}"


def results_of(group: Group) -> list[Result]:
    """Return the results of a group, one for each seed."""
    return [result_of(record) for record in group.records]


def table(records: Sequence[Record]) -> str:
    """Format a Markdown table with a row for each network, method and strength."""
    groups = groups_of(records)
    order = sorted(groups, key=lambda group: (group["width"], group["precision"] != "float32"))
    return _markdown(order, COLUMNS)


def paper_table(records: Sequence[Record]) -> str:
    """Format the rows of `table` for which the paper has a result, without details."""
    shown = [group for group in groups_of(records) if _paper_of(group) is not None]
    return _markdown(shown, [name for name in COLUMNS if name not in DETAILS])


def _markdown(groups: Sequence[Group], columns: Sequence[str]) -> str:
    rows = []
    for group in groups:
        results = results_of(group)
        paper = _paper_of(group)
        cells = (
            net_of(group),
            method_of(group),
            spread([result.last for result in results]),
            "" if paper is None else f"{paper:.1f}",
            spread([result.all for result in results]),
            spread([result.forgetting for result in results]),
            spread([result.task_0 for result in results]),
            *parameter_cells(group),
        )
        by_name = dict(zip(COLUMNS, cells, strict=True))
        rows.append([by_name[name] for name in columns])
    return markdown_table(columns, rows)


def _paper_of(group: Group) -> float | None:
    """Return the paper's result for these runs; None unless they have exactly its recipe."""
    if any(group[name] != value for name, value in TABLE_RECIPE.items()):
        return None
    return TABLE.get(group["method"])
