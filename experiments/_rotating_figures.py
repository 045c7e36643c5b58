"""Figures 4 and 5 of the paper, and the whole circle, from records of runs on turning images."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from experiments._rotating_reading import INFERRED
from experiments._rotating_summary import choice_of, circle_of, own_reading, panels_of, percent
from experiments.runner.figure import plot_spread, save_figure, style_of
from experiments.runner.groups import Group, groups_of
from experiments.runner.record import Record

LATE = 3
"""How many of the last turns are shown enlarged."""

Panels = Mapping[str, Sequence[Group]]

_WINDOWS = ("Complex", "10 windows")
"""What the choices of context are compared with."""

_COLOURS = {"fast": "black", "10 by appearance": "crimson", "10 by confidence": "navy"}
"""Of choices that are no family's own."""


def draw_figure_4(records: Sequence[Record], path: Path) -> list[Path]:
    """0° over the steps, a panel for each set of images and depth, its last turns below it.

    Args:
        records: Of the preset's runs, all or some.
        path: Where, without an ending.

    Returns:
        The files, also of the circle; none if there is no run to draw.
    """
    panels = panels_of(groups_of(records))
    return [*_draw_curves(panels, path), *_draw_circles(panels, path)] if panels else []


def draw_figure_5(records: Sequence[Record], path: Path) -> list[Path]:
    """The families, the paper's choices of context, and those that it leaves open.

    Args:
        records: Of the preset's runs, all or some.
        path: Where, without an ending.

    Returns:
        The files, also of the circle and of the end of a window; none if there is no run to draw.
    """
    panels = {
        title: own
        for title, shows in _PANELS.items()
        if (own := [each for each in groups_of(records) if shows(each["method"], choice_of(each))])
    }
    if not panels:
        return []
    return [
        *_draw_curves(panels, path, closely=True),
        *_draw_circles(panels, path),
        *_draw_edges({title: panels[title] for title in panels if title in _EDGES}, path),
    ]


_PANELS: dict[str, Callable[[str, str], bool]] = {
    "families": lambda method, choice: (
        choice in ("none", "10 windows") and not method.startswith("Learned")
    ),
    "choice of context": lambda method, choice: (
        choice == "none" or choice.startswith("fast") or (method, choice) == _WINDOWS
    ),
    "open in the paper": lambda method, choice: (
        method.startswith("Learned") or " by " in choice or (method, choice) == _WINDOWS
    ),
}
"""Of figure 5: which methods and choices of context each shows."""

_EDGES = ("families", "choice of context")
"""The panels whose nets are looked at around the end of a window."""


def _draw_curves(panels: Panels, path: Path, *, closely: bool = False) -> list[Path]:
    """0° over all steps, and below over the last turns, there `closely` around what superposes."""
    figure, rows = plt.subplots(
        2, len(panels), figsize=(1 + 4 * len(panels), 6.6), squeeze=False, layout="constrained"
    )
    for column, (title, groups) in enumerate(panels.items()):
        whole, late = rows[0][column], rows[1][column]
        for group in groups:
            for axes in (whole, late):
                _plot_curve(axes, group)
        if title == "open in the paper":
            for group in groups:
                if (group["method"], choice_of(group)) == _WINDOWS:
                    _plot_inferred(whole, group)
        config = groups[0].config
        end = config["turns"] * config["period"]
        late.set_xlim(max(0, end - LATE * config["period"]), end)
        whole.set(title=title, ylim=(0, 100))
        late.set(xlabel="steps", ylim=_limits(groups) if closely else (0, 100))
        handles, labels = whole.get_legend_handles_labels()
        _legend_below(late, -0.17, handles, labels)
    for row in rows:
        row[0].set_ylabel("accuracy at 0° (%)")
    return save_figure(figure, path)


def _draw_circles(panels: Panels, path: Path) -> list[Path]:
    """Every angle after the last step; in the last panel under each of the contexts of one net."""
    shown = {title: list(groups) for title, groups in panels.items()}
    one = next(
        (each for own in shown.values() for each in own if choice_of(each) == "10 windows"), None
    )
    figure, row = plt.subplots(
        1,
        len(shown) + (one is not None),
        figsize=(1 + 4 * (len(shown) + (one is not None)), 5.4),
        squeeze=False,
        subplot_kw={"projection": "polar"},
        layout="constrained",
    )
    for axes, (title, groups) in zip(row[0], shown.items(), strict=False):
        for group in groups:
            degrees = group.records[0]["circle"]["degrees"]
            curves = [circle_of(each, own_reading(each)) for each in group.records]
            _plot_around(axes, degrees, curves, label=label_of(group), **_style(group))
        axes.set_title(title)
        _legend_below(axes, -0.08)
    if one is not None:
        _plot_reach(row[0][-1], one)
    for axes in row[0]:
        axes.set_ylim(0, 100)
    return save_figure(figure, path.with_name(f"{path.name}-circle"))


def _draw_edges(panels: Panels, path: Path) -> list[Path]:
    """Around the end of a window, under the context before it (whole) and the next (broken)."""
    shown = {
        title: own
        for title, groups in panels.items()
        if (own := [each for each in groups if len(_edge_contexts(each)) == 2])
    }
    if not shown:
        return []
    figure, row = plt.subplots(
        1,
        len(shown),
        figsize=(1 + 4 * len(shown), 3.6),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axes, (title, groups) in zip(row[0], shown.items(), strict=True):
        for group in groups:
            edges = [each["edge"] for each in group.records]
            degrees, colour = edges[0]["degrees"], _style(group)["color"]
            for place, line in enumerate(("-", "--")):
                curves = [
                    [percent(right[place], edge["images"]) for right in edge["correct"]]
                    for edge in edges
                ]
                label = None if place else label_of(group)
                plot_spread(axes, degrees, curves, label=label, color=colour, linestyle=line)
        axes.axvline(degrees[len(degrees) // 2], color="black", linewidth=0.5)
        axes.set(title=title, xlabel="angle of the test images (°)")
        _legend_below(axes, -0.2)
    row[0][0].set_ylabel("accuracy (%)")
    return save_figure(figure, path.with_name(f"{path.name}-edge"))


def label_of(group: Group) -> str:
    """What a group of runs is called in a legend."""
    choice = choice_of(group)
    method: str = group["method"]
    return method if choice in ("none", "10 windows") else f"{method}, {choice}"


def _style(group: Group) -> dict[str, Any]:
    style = style_of(group["method"])
    # What swings within every turn would hide the others.
    thin = {"linewidth": 0.5} if group["choose"] == "confidence" else {}
    return style | thin | {"color": _COLOURS.get(choice_of(group), style["color"])}


def _plot_curve(axes: Axes, group: Group) -> None:
    curves = [
        [percent(right, each["curve"]["images"]) for right in each["curve"]["correct"]]
        for each in group.records
    ]
    steps = group.records[0]["curve"]["steps"]
    plot_spread(axes, steps, curves, label=label_of(group), **_style(group))


def _plot_inferred(axes: Axes, group: Group) -> None:
    """The net that learned by the clock, tested without it."""
    for reading, line in zip(INFERRED, (":", "--"), strict=True):
        found = [each["inferred_curve"] for each in group.records]
        curves = [[percent(right, each["images"]) for right in each[reading]] for each in found]
        label = f"{label_of(group)}, tested by {reading}"
        plot_spread(axes, found[0]["steps"], curves, label=label, color="black", linestyle=line)


def _plot_around(
    axes: Axes, degrees: Sequence[float], curves: Sequence[Sequence[float]], **style: Any
) -> None:
    """Closed curves over the circle."""
    angles = [math.radians(each) for each in (*degrees, degrees[0] + 360)]
    plot_spread(axes, angles, [[*each, each[0]] for each in curves], **style)


def _plot_reach(axes: Axes, group: Group) -> None:
    """Each context of one run at every angle: how far from its window it serves."""
    reach = group.records[0]["reach"]
    for place, context in enumerate(reach["contexts"]):
        curve = [percent(right[place], reach["images"]) for right in reach["correct"]]
        colour = plt.get_cmap("hsv")((place + 0.5) / len(reach["contexts"]))
        _plot_around(axes, reach["degrees"], [curve], label=f"context {context}", color=colour)
    seed = group.records[0]["config"]["seed"]
    axes.set_title(f"each context of {label_of(group)}, seed {seed}")
    _legend_below(axes, -0.08)


def _legend_below(axes: Axes, place: float, *of: Sequence[Any]) -> None:
    """A legend under the axes, where it hides nothing."""
    axes.legend(*of, fontsize=6, loc="upper center", bbox_to_anchor=(0.5, place), ncols=3)


def _edge_contexts(group: Group) -> list[int]:
    edge = group.records[0].get("edge")
    return edge["contexts"] if edge else []


def _limits(groups: Sequence[Group]) -> tuple[float, float]:
    """Around the last turns of what superposes, without the net that does not."""
    values = [
        percent(right, record["curve"]["images"])
        for group in groups
        if group["method"] != "standard" and group["choose"] != "confidence"
        for record in group.records
        for right in record["curve"]["correct"][-LATE * _points(record) :]
    ]
    return (max(0.0, min(values) - 2), min(100.0, max(values) + 2)) if values else (0.0, 100.0)


def _points(record: Record) -> int:
    """How many points of the curve a turn has."""
    return -(-int(record["config"]["period"]) // int(record["curve"]["every"]))
