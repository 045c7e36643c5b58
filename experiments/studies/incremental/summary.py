"""Accuracies and tables from the records of runs on incremental CIFAR."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.metrics import average_accuracy, forgetting
from experiments.runner.groups import (
    PARAMETER_HEADS,
    fractions_of,
    groups_of,
    markdown_table,
    method_of,
    parameter_cells,
    percent,
    percent_of,
    spread,
)
from experiments.runner.record import Record, config_of
from experiments.studies.incremental.run import IncrementalRun

MAX_COLUMNS = 5
"""Most tasks with a column each; with more tasks only the first has one."""


@dataclass(frozen=True)
class Result:
    """Accuracies of one run, in percent.

    Attributes:
        tasks: Every task at the end, on all its test images.
        all: Mean over the tasks at the end.
        forgetting: Mean drop from the best earlier accuracy, on the rows' images.
        learned: Mean over the tasks of the accuracy right after each, on the rows' images.
    """

    tasks: tuple[float, ...]
    all: float
    forgetting: float
    learned: float


def result_of(record: Record) -> Result:
    """Return the accuracies of a run.

    Args:
        record: Record of the run.

    Example:
        >>> from experiments.studies.incremental.summary import result_of
        >>> rows = {"images": 10, "correct": [[9], [8, 10]]}
        >>> result_of({"rows": rows, "final": {"images": [100, 20], "correct": [82, 19]}})
        Result(tasks=(82.0, 95.0), all=88.5, forgetting=10.0, learned=95.0)
    """
    rows, final = fractions_of(record)
    return Result(
        tasks=tuple(map(percent_of, final)),
        all=percent_of(average_accuracy([*rows[:-1], final])),
        forgetting=percent_of(forgetting(rows)),
        learned=percent_of(sum(row[-1] for row in rows) / len(rows)),
    )


def size_of(config: Mapping[str, Any]) -> str:
    """Return the size of a run beside the paper's, for every table and figure.

    Args:
        config: Config of a run or of a group of runs.

    Example:
        >>> from experiments.studies.incremental.summary import size_of
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


def table(records: Sequence[Record], not_run: Sequence[tuple[str, str]] = ()) -> str:
    """Return a Markdown table of runs of one preset, one row per group, below its size.

    Args:
        records: Records of the preset.
        not_run: Method and norms of runs without a record; their rows say so.
    """
    groups = groups_of(records)
    num_tasks = len(groups[0].records[0]["final"]["correct"]) if groups else MAX_COLUMNS
    columns = range(num_tasks if num_tasks <= MAX_COLUMNS else 1)
    heads = ["method", "BatchNorm", *(f"task {task} (%)" for task in columns)]
    heads += ["all (%)", "just learned (%)", "forgetting (%)", *PARAMETER_HEADS]
    rows = []
    for group in groups:
        results = [result_of(record) for record in group.records]
        rows.append(
            [
                method_of(group),
                group["norms"],
                *(spread([result.tasks[task] for result in results], 1) for task in columns),
                spread([result.all for result in results], 1),
                spread([result.learned for result in results], 1),
                spread([result.forgetting for result in results], 1),
                *parameter_cells(group),
            ]
        )
    blank = [""] * (len(heads) - 3)
    rows += [[method, norms, "not run: needs a GPU", *blank] for method, norms in not_run]
    size = f"{size_of(groups[0].config)}:\n\n" if groups else ""
    return size + markdown_table(heads, rows)


def table_of_runs(runs: Sequence[IncrementalRun], records: Sequence[Record]) -> str:
    """Return the table at the paper's size; runs without a record are marked as needing a GPU.

    Args:
        runs: Runs of the preset.
        records: Existing records of them.
    """
    recorded = {(record["config"]["method"], record["config"]["norms"]) for record in records}
    variants = dict.fromkeys((str(run.method), str(run.norms)) for run in runs)
    missing = [variant for variant in variants if variant not in recorded]
    size = "" if records else f"{size_of(config_of(runs[0]))}:\n\n"
    return size + table(records, missing)


def batch_table(records: Sequence[Record]) -> str:
    """Return a Markdown table of the test batch's effect on the accuracy on the last task.

    Args:
        records: Records of a preset; methods never run with batch statistics are left out.
    """
    groups = groups_of(records)
    methods = {group["method"] for group in groups if group["norms"] == "batch"}
    groups = [group for group in groups if group["method"] in methods]
    first = groups[0].records[0]["test_batches"]
    heads = ["method", "BatchNorm", *(f"{size} mixed (%)" for size in first["sizes"])]
    heads += [f"{first['one_class_size']} of one class (%)", "n"]
    rows = []
    for group in groups:
        compared = [record["test_batches"] for record in group.records]
        accuracies = [
            [
                percent(count, batches["images"])
                for count in (*batches["correct"], batches["one_class_correct"])
            ]
            for batches in compared
        ]
        columns = [spread(column, 1) for column in zip(*accuracies, strict=True)]
        rows.append([method_of(group), group["norms"], *columns, str(len(compared))])
    return markdown_table(heads, rows)


def statistics_table(records: Sequence[Record]) -> str:
    """Return a Markdown table of all tasks at the end, with stored and with new statistics.

    Args:
        records: Records of a preset; those without new statistics are left out.
    """
    groups = groups_of([record for record in records if "new_statistics" in record])
    heads = ["method", "BatchNorm", "task 0, stored (%)", "task 0, new (%)"]
    heads += ["all, stored (%)", "all, new (%)", "n"]
    rows = []
    for group in groups:
        stored = [result_of(record) for record in group.records]
        new = [result_of(record | {"final": _with_new(record)}) for record in group.records]
        pairs = [[result.tasks[0] for result in results] for results in (stored, new)]
        pairs += [[result.all for result in results] for results in (stored, new)]
        columns = [spread(column, 1) for column in pairs]
        rows.append([method_of(group), group["norms"], *columns, str(len(stored))])
    return markdown_table(heads, rows)


def _with_new(record: Record) -> Record:
    return {**record["final"], "correct": record["new_statistics"]["correct"]}


def report_tables(records: Sequence[Record]) -> str:
    """Return all tables of complete records, for the terminal."""
    tables = [table(records)]
    if any(record["config"]["norms"] == "batch" for record in records):
        tables.append(batch_table(records))
    if any("new_statistics" in record for record in records):
        tables.append(statistics_table(records))
    return "\n\n".join(tables)
