"""Numbers and tables from the records of runs on permuted images."""

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.metrics import average_accuracy, forgetting, last_average_accuracy
from experiments._permuting_paper import TABLE, TABLE_RECIPE
from experiments.runner.groups import Group, diverged_lines, groups_of, method_of, spread
from experiments.runner.record import Record

LAST = 10
"""How many of the last tasks the paper's table averages over."""

ONE_RECIPE = ("dataset", "tasks", "steps", "batch", "learning_rate", "hidden_layers")
"""What a table is of: its runs agree in these."""

COLUMNS = (
    "net",
    "method",
    "last ten (%)",
    "paper (%)",
    "all (%)",
    "forgetting (%)",
    "task 0 (%)",
    "numbers stored",
    "per added model",
    "n",
)
"""Of a table of runs."""

DETAILS = ("net", "forgetting (%)", "task 0 (%)")
"""The ones that the table beside the paper's leaves out."""


@dataclass(frozen=True)
class Result:
    """What one run comes to; accuracies in percent."""

    last: float
    all: float
    forgetting: float | None
    task_0: float


def result_of(record: Record) -> Result:
    """Averages over the final row, on all test images; forgetting on the rows' own images.

    Args:
        record: Of one run.

    Example:
        >>> from experiments._permuting_summary import result_of
        >>> rows = {"images": 10, "correct": [[9], [8, 10]]}
        >>> result_of({"rows": rows, "final": {"images": 100, "correct": [82, 98]}})
        Result(last=90.0, all=90.0, forgetting=10.0, task_0=82.0)
    """
    rows = [
        [right / record["rows"]["images"] for right in row] for row in record["rows"]["correct"]
    ]
    final = [right / record["final"]["images"] for right in record["final"]["correct"]]
    measured = [*rows[:-1], final]
    return Result(
        last=_percent(last_average_accuracy(measured, min(LAST, len(final)))),
        all=_percent(average_accuracy(measured)),
        forgetting=_percent(forgetting(rows)) if len(rows) > 1 else None,
        task_0=_percent(final[0]),
    )


def _percent(fraction: float) -> float:
    return round(100 * fraction, 6)


def net_of(group: Group) -> str:
    """The net in few words, for example `2×256`, with its precision if that is not float32."""
    precision = "" if group["precision"] == "float32" else f", {group['precision']}"
    return f"{group['hidden_layers']}×{group['width']}{precision}"


def results_of(group: Group) -> list[Result]:
    """One for every seed."""
    return [result_of(record) for record in group.records]


def table(groups: Sequence[Group]) -> str:
    """A Markdown table of runs of one recipe, a row for each net, method and strength.

    Args:
        groups: From `groups_of`, in the order of the rows.
    """
    order = sorted(groups, key=lambda group: (group["width"], group["precision"] != "float32"))
    return _markdown(order, COLUMNS)


def paper_table(groups: Sequence[Group]) -> str:
    """The rows of `table` that have a number of the paper's beside them, without details.

    Args:
        groups: From `groups_of`, in the order of the rows.
    """
    shown = [group for group in groups if _paper_of(group) is not None]
    return _markdown(shown, [name for name in COLUMNS if name not in DETAILS])


def _markdown(groups: Sequence[Group], columns: Sequence[str]) -> str:
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for group in groups:
        results = results_of(group)
        numbers = group.records[0]["numbers"]
        paper = _paper_of(group)
        cells = (
            net_of(group),
            method_of(group),
            spread([each.last for each in results]),
            "" if paper is None else f"{paper:.1f}",
            spread([each.all for each in results]),
            spread([each.forgetting for each in results]),
            spread([each.task_0 for each in results]),
            f"{numbers['total']:,}",
            f"{numbers['per_added_model']:,}",
            str(len(group.records)),
        )
        row = dict(zip(COLUMNS, cells, strict=True))
        lines.append(f"| {' | '.join(row[name] for name in columns)} |")
    return "\n".join(lines)


def _paper_of(group: Group) -> float | None:
    """What the paper's table has for these runs: nothing, unless all of the recipe is its."""
    if any(group[name] != value for name, value in TABLE_RECIPE.items()):
        return None
    return TABLE.get(group["method"])


def report(records: Sequence[Record]) -> str:
    """What a grid of runs came to, for the terminal."""
    first = records[0]["config"]
    recipe = ", ".join(f"{name} {first[name]}" for name in ONE_RECIPE)
    complete = [each for each in records if each["status"] == "complete"]
    return "\n\n".join([recipe, table(groups_of(complete)), *diverged_lines(records)])
