"""Figure 6 of the paper, drawn from records of runs on incremental CIFAR."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from experiments.runner.figure import (
    legend_below,
    plot_curve,
    row_of_panels,
    save_figure,
    style_of,
)
from experiments.runner.groups import Group, groups_of, method_of
from experiments.runner.record import Record
from experiments.studies.incremental.summary import size_of

_PANELS = {
    "batch": "BatchNorm of the batch (the paper's)",
    "shared": "BatchNorm shared",
    "per-context": "BatchNorm per context",
}


def draw_figure_6(records: Sequence[Record], path: Path) -> list[Path]:
    """Draw task 0 over the steps, one panel per kind of BatchNorm, with `single` in each.

    Args:
        records: Records of one preset's runs, all or some.
        path: Path without suffix.

    Returns:
        The files; none without records.
    """
    groups = groups_of(records)
    kinds = [norms for norms in _PANELS if any(group["norms"] == norms for group in groups)]
    if not kinds:
        return []
    size = (1 + 3.4 * len(kinds), 4)
    figure, panels = row_of_panels(len(kinds), size, sharey=True)
    for axes, norms in zip(panels, kinds, strict=True):
        for group in groups:
            if group["method"] == "single" or group["norms"] == norms:
                plot_curve(axes, group, method_of(group), **style_of(group["method"]))
        _mark_tasks(axes, groups[0])
        axes.set(title=_PANELS[norms], xlabel="steps", ylim=(0, 100))
        axes.title.set_fontsize(9)
        legend_below(axes, -0.17)
    panels[0].set_ylabel("accuracy on task 0 (%)")
    figure.suptitle(size_of(groups[0].config), fontsize=9)
    return save_figure(figure, path)


def _mark_tasks(axes: Axes, group: Group) -> None:
    """Draw a line where each task ends."""
    num_tasks = len(group.records[0]["final"]["correct"])
    for task in range(1, num_tasks):
        axes.axvline(task * group["steps"], color="lightgrey", linewidth=0.5, zorder=0)
