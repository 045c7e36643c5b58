"""Numbers and tables from the records of runs on incremental CIFAR."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from analysis.metrics import average_accuracy, forgetting
from experiments._incremental_run import Run
from experiments.runner.groups import Group, diverged_lines, groups_of, method_of, spread
from experiments.runner.record import Record

SHOWN_TASKS = 5
"""With more tasks than these a table shows the first alone."""


@dataclass(frozen=True)
class Result:
    """What one run comes to; accuracies in percent."""

    tasks: tuple[float, ...]
    """Of every task at the end, on all its test images."""

    all: float
    forgetting: float
    learned: float
    """Of every task when it had just been learned, on the rows' images, on average."""


def result_of(record: Record) -> Result:
    """The final row on all test images; forgetting on the rows' own images.

    Args:
        record: Of one run.

    Example:
        >>> from experiments._incremental_summary import result_of
        >>> rows = {"images": 10, "correct": [[9], [8, 10]]}
        >>> result_of({"rows": rows, "final": {"images": [100, 20], "correct": [82, 19]}})
        Result(tasks=(82.0, 95.0), all=88.5, forgetting=10.0, learned=95.0)
    """
    rows = [
        [right / record["rows"]["images"] for right in row] for row in record["rows"]["correct"]
    ]
    correct, images = record["final"]["correct"], record["final"]["images"]
    counts = images if isinstance(images, list) else [images] * len(correct)
    final = [right / count for right, count in zip(correct, counts, strict=True)]
    return Result(
        tasks=tuple(map(_percent, final)),
        all=_percent(average_accuracy([*rows[:-1], final])),
        forgetting=_percent(forgetting(rows)),
        learned=_percent(sum(row[-1] for row in rows) / len(rows)),
    )


def _percent(fraction: float) -> float:
    return round(100 * fraction, 6)


def size_of(config: Mapping[str, Any]) -> str:
    """What was run, in words that belong wherever its numbers appear.

    Args:
        config: Of a run or of a group of runs.

    Example:
        >>> from experiments._incremental_summary import size_of
        >>> config = {"tasks": "icifar", "width": 8, "steps": 500, "batch": 64}
        >>> size_of(config)
        'icifar, ResNet-18 of width 8, 500 steps of 64 images a task (paper: 64, 20,000 of 128)'
        >>> size_of(config | {"width": 64, "steps": 20_000, "batch": 128})
        "icifar, ResNet-18 of width 64, 20,000 steps of 128 images a task (the paper's size)"
    """
    width, steps, batch = (config[name] for name in ("width", "steps", "batch"))
    is_paper = config["tasks"] == "icifar" and (width, steps, batch) == (64, 20_000, 128)
    beside = "the paper's size" if is_paper else "paper: 64, 20,000 of 128"
    ours = f"ResNet-18 of width {width}, {steps:,} steps of {batch} images a task"
    return f"{config['tasks']}, {ours} ({beside})"


def table(groups: Sequence[Group], not_run: Sequence[tuple[str, str]] = ()) -> str:
    """A Markdown table of runs of one preset, a row for each method, below its size.

    Args:
        groups: From `groups_of`, in the order of the rows.
        not_run: Methods and norms of runs that have no record; their rows say so.
    """
    tasks = len(groups[0].records[0]["final"]["correct"]) if groups else SHOWN_TASKS
    columns = range(tasks) if tasks <= SHOWN_TASKS else range(1)
    heads = ["method", "BatchNorm", *(f"task {task} (%)" for task in columns)]
    heads += ["all (%)", "just learned (%)", "forgetting (%)", "numbers stored"]
    heads += ["per added model", "n"]
    lines = [_row(heads), "|" + "---|" * len(heads)]
    for group in groups:
        results = [result_of(record) for record in group.records]
        numbers = group.records[0]["numbers"]
        cells = [
            method_of(group),
            group["norms"],
            *(spread([each.tasks[task] for each in results], 1) for task in columns),
            spread([each.all for each in results], 1),
            spread([each.learned for each in results], 1),
            spread([each.forgetting for each in results], 1),
            f"{numbers['total']:,}",
            f"{numbers['per_added_model']:,}",
            str(len(group.records)),
        ]
        lines.append(_row(cells))
    blank = [""] * (len(heads) - 3)
    lines += [_row([method, norms, "not run: needs a GPU", *blank]) for method, norms in not_run]
    sizes = [f"{size_of(groups[0].config)}:", ""] if groups else []
    return "\n".join([*sizes, *lines])


def table_of_runs(runs: Sequence[Run], records: Sequence[Record]) -> str:
    """The table of the runs at the paper's size; those without a record say that they need a GPU.

    Args:
        runs: Of the preset.
        records: Those that there are.
    """
    there = {Run(**record["config"]) for record in records}
    missing = dict.fromkeys((run.method, run.norms) for run in runs if run not in there)
    size = "" if records else f"{size_of(asdict(runs[0]))}:\n\n"
    return size + table(groups_of(records), list(missing))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def batch_table(groups: Sequence[Group]) -> str:
    """A Markdown table of what the test batch changes in the accuracy on the last task.

    Args:
        groups: From `groups_of`, in the order of the rows; those whose method is also run with
            the statistics of the batch are shown.
    """
    shown = {group["method"] for group in groups if group["norms"] == "batch"}
    groups = [group for group in groups if group["method"] in shown]
    compared = groups[0].records[0]["test_batches"]
    heads = ["method", "BatchNorm", *(f"{size} mixed (%)" for size in compared["sizes"])]
    heads += [f"{compared['one_class_size']} of one class (%)", "n"]
    lines = [_row(heads), "|" + "---|" * len(heads)]
    for group in groups:
        found = [record["test_batches"] for record in group.records]
        columns = zip(
            *([*each["correct"], each["one_class_correct"]] for each in found), strict=True
        )
        images = [each["images"] for each in found]
        shares = [
            spread([100 * right / count for right, count in zip(column, images, strict=True)], 1)
            for column in columns
        ]
        lines.append(_row([method_of(group), group["norms"], *shares, str(len(found))]))
    return "\n".join(lines)


def report(records: Sequence[Record]) -> str:
    """What a grid of runs came to, for the terminal."""
    complete = groups_of(each for each in records if each["status"] == "complete")
    tables = [table(complete)] if complete else []
    if any(group["norms"] == "batch" for group in complete):
        tables.append(batch_table(complete))
    return "\n\n".join([*tables, *diverged_lines(records)])
