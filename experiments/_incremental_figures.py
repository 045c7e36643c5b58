"""Figure 6 of the paper, drawn from records of runs on incremental CIFAR."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from experiments._incremental_summary import size_of
from experiments.runner.figure import plot_spread, save_figure, style_of
from experiments.runner.groups import Group, groups_of, method_of
from experiments.runner.record import Record

_PANELS = {
    "batch": "BatchNorm of the batch (the paper's)",
    "shared": "BatchNorm shared",
    "per-context": "BatchNorm per context",
}


def draw_figure_6(records: Sequence[Record], path: Path) -> list[Path]:
    """Task 0 over the steps, a panel for each kind of BatchNorm, a net for each task in all.

    Args:
        records: Of the runs of one preset, all or some.
        path: Where, without an ending.

    Returns:
        The files; none if there is no run to draw.
    """
    groups = groups_of(records)
    shown = [norms for norms in _PANELS if any(each["norms"] == norms for each in groups)]
    if not shown:
        return []
    figure, panels = plt.subplots(
        1,
        len(shown),
        figsize=(1 + 3.4 * len(shown), 4),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axes, norms in zip(panels[0], shown, strict=True):
        for group in groups:
            if group["method"] == "single" or group["norms"] == norms:
                _plot_task_0(axes, group)
        _mark_tasks(axes, groups[0])
        axes.set(title=_PANELS[norms], xlabel="steps", ylim=(0, 100))
        axes.title.set_fontsize(9)
        # Below, since with many tasks the curves are everywhere.
        axes.legend(fontsize=6, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3)
    panels[0][0].set_ylabel("accuracy on task 0 (%)")
    figure.suptitle(size_of(groups[0].config), fontsize=9)
    return save_figure(figure, path)


def _plot_task_0(axes: Axes, group: Group) -> None:
    curves = [
        [100 * right / record["curve"]["images"] for right in record["curve"]["correct"]]
        for record in group.records
    ]
    steps = group.records[0]["curve"]["steps"]
    plot_spread(axes, steps, curves, label=method_of(group), **_style(group["method"]))


def _style(method: str) -> dict[str, Any]:
    if method == "multi-head":
        return {**style_of("standard"), "linestyle": "--"}
    return style_of(method.removeprefix("multi-head-"))


def _mark_tasks(axes: Axes, group: Group) -> None:
    """A line where a task ends."""
    tasks = len(group.records[0]["final"]["correct"])
    for task in range(1, tasks):
        axes.axvline(task * group["steps"], color="lightgrey", linewidth=0.5, zorder=0)
