"""Figures 4 and 5 of the paper, and the whole circle, from records of runs on rotating images."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from experiments.runner.figure import (
    legend_below,
    plot_curve,
    plot_spread,
    row_of_panels,
    save_figure,
    style_of,
)
from experiments.runner.groups import Group, groups_of, percent
from experiments.runner.record import Record
from experiments.studies.rotating.claims import WINDOWS
from experiments.studies.rotating.contexts import INFERRED
from experiments.studies.rotating.summary import choice_of, circle_of, panels_of

LATE = 3
"""Number of last turns shown enlarged."""

Panels = Mapping[str, Sequence[Group]]

_COLOURS = {"fast": "black", "10 by appearance": "crimson", "10 by confidence": "navy"}
"""Colours of choices of context that differ from the family's."""

_OPEN = "open in the paper"


def draw_figure_4(records: Sequence[Record], path: Path) -> list[Path]:
    """Draw 0° over the steps, one panel per image set and depth, and the circle.

    Args:
        records: Records of the preset's runs, all or some.
        path: Path without suffix.

    Returns:
        The files; none without records.
    """
    panels = panels_of(groups_of(records))
    return [*_draw_curves(panels, path), *_draw_circles(panels, path)] if panels else []


def draw_figure_5(records: Sequence[Record], path: Path) -> list[Path]:
    """Draw the families and the choices of context; see `draw_figure_4`."""
    groups = groups_of(records)
    panels: dict[str, list[Group]] = {}
    for title, shows in _PANELS.items():
        if shown := [group for group in groups if shows(group["method"], choice_of(group))]:
            panels[title] = shown
    if not panels:
        return []
    edges = {
        title: with_edge
        for title, shown in panels.items()
        if title != _OPEN and (with_edge := [group for group in shown if _has_edge(group)])
    }
    return [
        *_draw_curves(panels, path, enlarged=True),
        *_draw_circles(panels, path),
        *(_draw_edges(edges, path) if edges else ()),
    ]


def _is_reference(method: str, choice: str) -> bool:
    """True for the runs with which the choices of context are compared."""
    return (method, choice) == ("Complex", WINDOWS)


_PANELS: dict[str, Callable[[str, str], bool]] = {
    "families": lambda method, choice: (
        choice in ("none", WINDOWS) and not method.startswith("Learned")
    ),
    "choice of context": lambda method, choice: (
        choice == "none" or choice.startswith("fast") or _is_reference(method, choice)
    ),
    _OPEN: lambda method, choice: (
        method.startswith("Learned") or " by " in choice or _is_reference(method, choice)
    ),
}
"""Panels of figure 5, and the methods and choices of context that each shows."""


def _draw_curves(panels: Panels, path: Path, *, enlarged: bool = False) -> list[Path]:
    """Draw 0° over all steps, and the last turns below, `enlarged` around the superposed nets."""
    figure, rows = plt.subplots(
        2, len(panels), figsize=(1 + 4 * len(panels), 6.6), squeeze=False, layout="constrained"
    )
    for column, (title, groups) in enumerate(panels.items()):
        whole, late = rows[0][column], rows[1][column]
        for group in groups:
            for axes in (whole, late):
                plot_curve(axes, group, label_of(group), **_style(group))
        if title == _OPEN:
            for group in groups:
                if _is_reference(group["method"], choice_of(group)):
                    _plot_inferred(whole, group)
        config = groups[0].config
        end = config["turns"] * config["period"]
        late.set_xlim(max(0, end - LATE * config["period"]), end)
        whole.set(title=title, ylim=(0, 100))
        late.set(xlabel="steps", ylim=_limits(groups) if enlarged else (0, 100))
        handles, labels = whole.get_legend_handles_labels()
        legend_below(late, -0.17, handles, labels)
    for row in rows:
        row[0].set_ylabel("accuracy at 0° (%)")
    return save_figure(figure, path)


def _draw_circles(panels: Panels, path: Path) -> list[Path]:
    """Draw every angle after the last step, and the reach of each context of one net."""
    with_windows = next(
        (group for groups in panels.values() for group in groups if choice_of(group) == WINDOWS),
        None,
    )
    columns = len(panels) + (with_windows is not None)
    size = (1 + 4 * columns, 5.4)
    figure, row = row_of_panels(columns, size, subplot_kw={"projection": "polar"})
    for axes, (title, groups) in zip(row, panels.items(), strict=False):
        for group in groups:
            degrees = group.records[0]["circle"]["degrees"]
            curves = [circle_of(record) for record in group.records]
            _plot_around(axes, degrees, curves, label=label_of(group), **_style(group))
        axes.set_title(title)
        legend_below(axes, -0.08)
    if with_windows is not None:
        _plot_reach(row[-1], with_windows)
    for axes in row:
        axes.set_ylim(0, 100)
    return save_figure(figure, path.with_name(f"{path.name}-circle"))


def _draw_edges(panels: Panels, path: Path) -> list[Path]:
    """Draw the end of a window, under the context before it (solid) and the next (dashed)."""
    figure, row = row_of_panels(len(panels), (1 + 4 * len(panels), 3.6), sharey=True)
    for axes, (title, groups) in zip(row, panels.items(), strict=True):
        for group in groups:
            edges = [record["edge"] for record in group.records]
            degrees, colour = edges[0]["degrees"], _style(group)["color"]
            for place, line in enumerate(("-", "--")):
                curves = [
                    [percent(counts[place], edge["images"]) for counts in edge["correct"]]
                    for edge in edges
                ]
                label = None if place else label_of(group)
                plot_spread(axes, degrees, curves, label=label, color=colour, linestyle=line)
        axes.axvline(degrees[len(degrees) // 2], color="black", linewidth=0.5)
        axes.set(title=title, xlabel="angle of the test images (°)")
        legend_below(axes, -0.2)
    row[0].set_ylabel("accuracy (%)")
    return save_figure(figure, path.with_name(f"{path.name}-edge"))


def label_of(group: Group) -> str:
    """Return the name of a group of runs in a legend."""
    choice = choice_of(group)
    method: str = group["method"]
    return method if choice in ("none", WINDOWS) else f"{method}, {choice}"


def _style(group: Group) -> dict[str, Any]:
    style = style_of(group["method"])
    # A curve that swings within every turn would hide the others.
    thin = {"linewidth": 0.5} if group["choose"] == "confidence" else {}
    return style | thin | {"color": _COLOURS.get(choice_of(group), style["color"])}


def _plot_inferred(axes: Axes, group: Group) -> None:
    """Plot a net trained by the clock and tested without it."""
    inferred = [record["inferred_curve"] for record in group.records]
    for source, line in zip(INFERRED, (":", "--"), strict=True):
        curves = [[percent(n, curve["images"]) for n in curve[source]] for curve in inferred]
        label = f"{label_of(group)}, tested by {source}"
        plot_spread(axes, inferred[0]["steps"], curves, label=label, color="black", linestyle=line)


def _plot_around(
    axes: Axes, degrees: Sequence[float], curves: Sequence[Sequence[float]], **style: Any
) -> None:
    """Plot closed curves over the circle."""
    angles = [math.radians(angle) for angle in (*degrees, degrees[0] + 360)]
    plot_spread(axes, angles, [[*curve, curve[0]] for curve in curves], **style)


def _plot_reach(axes: Axes, group: Group) -> None:
    """Plot each context of one run at every angle."""
    reach = group.records[0]["reach"]
    for place, context in enumerate(reach["contexts"]):
        curve = [percent(counts[place], reach["images"]) for counts in reach["correct"]]
        colour = plt.get_cmap("hsv")((place + 0.5) / len(reach["contexts"]))
        _plot_around(axes, reach["degrees"], [curve], label=f"context {context}", color=colour)
    seed = group.records[0]["config"]["seed"]
    axes.set_title(f"each context of {label_of(group)}, seed {seed}")
    legend_below(axes, -0.08)


def _has_edge(group: Group) -> bool:
    """True if the runs were measured on both sides of a window's end."""
    edge = group.records[0].get("edge")
    return edge is not None and len(edge["contexts"]) == 2


def _limits(groups: Sequence[Group]) -> tuple[float, float]:
    """Return the range of the superposed nets in the last turns."""
    values = [
        percent(count, record["curve"]["images"])
        for group in groups
        if group["method"] != "standard" and group["choose"] != "confidence"
        for record in group.records
        for count in record["curve"]["correct"][-LATE * _points(record) :]
    ]
    return (max(0.0, min(values) - 2), min(100.0, max(values) + 2)) if values else (0.0, 100.0)


def _points(record: Record) -> int:
    """Return the number of points of the curve in a turn."""
    return -(-int(record["config"]["period"]) // int(record["curve"]["every"]))
