"""Figures 2 and 3 of the paper, drawn from records of runs on permuted images."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from experiments._permuting_paper import FIGURE_2, TABLE, TABLE_RECIPE
from experiments._permuting_summary import net_of, results_of
from experiments.runner.figure import colour_of, plot_spread, save_figure, style_of
from experiments.runner.groups import Group, method_of


def draw_figure_2(groups: Sequence[Group], path: Path) -> list[Path]:
    """Task 0 over the steps, a panel for each width, with and without binary contexts.

    Args:
        groups: Runs of the paper's recipe.
        path: Where, without an ending.

    Returns:
        The files; none if there is no run to draw.
    """
    shown = [each for each in groups if each["method"] in ("standard", "Binary")]
    widths = sorted({each["width"] for each in shown} & set(FIGURE_2))
    if not widths:
        return []
    figure, panels = plt.subplots(
        1,
        len(widths),
        figsize=(2 + 2.6 * len(widths), 3.2),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axes, width in zip(panels[0], widths, strict=True):
        for group in shown:
            if group["width"] == width:
                _plot_task_0(axes, group)
        end = max(each.records[0]["curve"]["steps"][-1] for each in shown)
        axes.plot(end, FIGURE_2[width], "x", color=colour_of("Binary"), label="paper, Binary")
        axes.set(title=f"{width} units", xlabel="steps", ylim=(0, 100))
    panels[0][0].set_ylabel("accuracy on task 0 (%)")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=7, loc="outside right upper")
    return save_figure(figure, path)


def draw_figure_3(groups: Sequence[Group], path: Path) -> list[Path]:
    """Task 0 over the steps, all methods at 256 units; arguments as for `draw_figure_2`."""
    shown = [each for each in groups if each["width"] == 256]
    if not shown:
        return []
    figure, axes = plt.subplots(figsize=(8.5, 4.4), layout="constrained")
    for group in shown:
        _plot_task_0(axes, group)
    end = max(each.records[0]["curve"]["steps"][-1] for each in shown)
    axes.plot(end, FIGURE_2[256], "x", color=colour_of("Binary"), label="paper, Binary")
    axes.set(title="256 units", xlabel="steps", ylabel="accuracy on task 0 (%)", ylim=(0, 100))
    figure.legend(fontsize=7, loc="outside right upper")
    return save_figure(figure, path)


def draw_table(groups: Sequence[Group], path: Path) -> list[Path]:
    """The last ten tasks by method and width; arguments as for `draw_figure_2`."""
    shown = [each for each in groups if each["width"] in (256, 512, TABLE_RECIPE["width"])]
    if not shown:
        return []
    rank = [*TABLE, *(each["method"] for each in shown)].index
    methods = list(dict.fromkeys(map(method_of, sorted(shown, key=lambda g: rank(g["method"])))))
    figure, axes = plt.subplots(figsize=(8, 4.4), layout="constrained")
    nets = sorted({(each["width"], net_of(each)) for each in shown})
    for number, (marker, (_, net)) in enumerate(zip("oPvsD", nets, strict=False)):
        own = [each for each in shown if net_of(each) == net]
        aside = 0.12 * (number - (len(nets) - 1) / 2)  # so that none hides another
        places = [methods.index(method_of(each)) + aside for each in own]
        values = [mean(result.last for result in results_of(each)) for each in own]
        axes.plot(places, values, marker, label=net)
    paper = {
        methods.index(method_of(each)): TABLE[each["method"]]
        for each in shown
        if each["method"] in TABLE
    }
    axes.plot(list(paper), list(paper.values()), "x", color="black", label="paper")
    axes.set_xticks(range(len(methods)), methods, rotation=40, ha="right")
    axes.set(ylabel="accuracy on the last ten tasks (%)", title="After 50 tasks")
    axes.legend(fontsize=8, loc="lower right")
    return save_figure(figure, path)


def _plot_task_0(axes: Axes, group: Group) -> None:
    """The mean over the seeds, and their range as a shade; the dot at the end is of all images."""
    curves = [
        [100 * right / record["curve"]["images"] for right in record["curve"]["correct"]]
        for record in group.records
    ]
    steps = group.records[0]["curve"]["steps"]
    style = style_of(group["method"])
    plot_spread(axes, steps, curves, label=method_of(group), **style)
    final = mean(result.task_0 for result in results_of(group))
    axes.plot(steps[-1], final, ".", color=style["color"])
