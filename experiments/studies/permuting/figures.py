"""Figures 2 and 3 of the paper, from records of runs on permuted images."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from experiments.runner.figure import (
    colour_of,
    plot_curve,
    row_of_panels,
    save_figure,
    style_of,
)
from experiments.runner.groups import Group, groups_of, method_of
from experiments.runner.record import Record
from experiments.studies.permuting.paper import FIGURE_2, TABLE, TABLE_RECIPE
from experiments.studies.permuting.summary import net_of, results_of


def draw_figure_2(records: Sequence[Record], path: Path) -> list[Path]:
    """Draw task 0 over the steps, with and without binary contexts, in a panel for each width.

    Args:
        records: Records of the paper's recipe.
        path: Destination without a suffix.

    Returns:
        The files; none if there is nothing to draw.
    """
    shown = [group for group in groups_of(records) if group["method"] in ("standard", "Binary")]
    widths = sorted({group["width"] for group in shown} & set(FIGURE_2))
    if not widths:
        return []
    size = (2 + 2.6 * len(widths), 3.2)
    figure, panels = row_of_panels(len(widths), size, sharey=True)
    for axes, width in zip(panels, widths, strict=True):
        for group in shown:
            if group["width"] == width:
                _plot_task_0(axes, group)
        end = max(group.records[0]["curve"]["steps"][-1] for group in shown)
        axes.plot(end, FIGURE_2[width], "x", color=colour_of("Binary"), label="paper, Binary")
        axes.set(title=f"{width} units", xlabel="steps", ylim=(0, 100))
    panels[0].set_ylabel("accuracy on task 0 (%)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=7, loc="outside right upper")
    return save_figure(figure, path)


def draw_figure_3(records: Sequence[Record], path: Path) -> list[Path]:
    """Draw task 0 over the steps for all methods at 256 units; arguments as in `draw_figure_2`."""
    shown = [group for group in groups_of(records) if group["width"] == 256]
    if not shown:
        return []
    figure, axes = plt.subplots(figsize=(8.5, 4.4), layout="constrained")
    for group in shown:
        _plot_task_0(axes, group)
    end = max(group.records[0]["curve"]["steps"][-1] for group in shown)
    axes.plot(end, FIGURE_2[256], "x", color=colour_of("Binary"), label="paper, Binary")
    axes.set(title="256 units", xlabel="steps", ylabel="accuracy on task 0 (%)", ylim=(0, 100))
    figure.legend(fontsize=7, loc="outside right upper")
    return save_figure(figure, path)


def draw_table(records: Sequence[Record], path: Path) -> list[Path]:
    """Draw the last ten tasks by method and width; arguments as in `draw_figure_2`."""
    widths = (256, 512, TABLE_RECIPE["width"])
    shown = [group for group in groups_of(records) if group["width"] in widths]
    if not shown:
        return []
    rank = [*TABLE, *(group["method"] for group in shown)].index
    methods = list(dict.fromkeys(map(method_of, sorted(shown, key=lambda g: rank(g["method"])))))
    figure, axes = plt.subplots(figsize=(8, 4.4), layout="constrained")
    nets = sorted({(group["width"], net_of(group)) for group in shown})
    for number, (marker, (_, net)) in enumerate(zip("oPvsD", nets, strict=False)):
        groups = [group for group in shown if net_of(group) == net]
        offset = 0.12 * (number - (len(nets) - 1) / 2)  # so that no marker hides another
        places = [methods.index(method_of(group)) + offset for group in groups]
        values = [mean(result.last for result in results_of(group)) for group in groups]
        axes.plot(places, values, marker, label=net)
    paper = {
        methods.index(method_of(group)): TABLE[group["method"]]
        for group in shown
        if group["method"] in TABLE
    }
    axes.plot(list(paper), list(paper.values()), "x", color="black", label="paper")
    axes.set_xticks(range(len(methods)), methods, rotation=40, ha="right")
    axes.set(ylabel="accuracy on the last ten tasks (%)", title="After 50 tasks")
    axes.legend(fontsize=8, loc="lower right")
    return save_figure(figure, path)


def _plot_task_0(axes: Axes, group: Group) -> None:
    """Plot the curve of task 0, and its last point on all images as a dot."""
    style = style_of(group["method"])
    plot_curve(axes, group, method_of(group), **style)
    final = mean(result.task_0 for result in results_of(group))
    axes.plot(group.records[0]["curve"]["steps"][-1], final, ".", color=style["color"])
