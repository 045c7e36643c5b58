"""Style of all figures, and saving them."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure

from experiments.methods.method import FAMILIES, Method, name_of
from experiments.runner.groups import Group, percent

# Identical records give identical files: without dates, and with fixed ids in the SVG.
matplotlib.rcParams["svg.hashsalt"] = "superposition"

_CYCLE = ("C0", "C1", "C2", "C3", "C4", "C5", "C6", "C8", "C9")  # C7 is grey
_COLOURS = dict(zip(sorted(set(FAMILIES) - {"Identity"}), _CYCLE, strict=True))

LONG_LABEL = 28
"""Letters above which a legend below its axes has two columns, not three."""

_PENALTY_LINES: dict[Any, Any] = {"EWC": ":", "OnlineEWC": (0, (1, 3)), "SI": "-.", None: "--"}


def colour_of(family: str) -> str:
    """Return the colour of a family in every figure; grey for Identity, the standard network."""
    return "grey" if family == "Identity" else _COLOURS[family]


def style_of(name: str) -> dict[str, Any]:
    """Return colour and line of a method: that of its family; black for others than ours.

    Learned contexts, several heads and permuted outputs have broken lines.
    """
    method = Method.parse(name)
    if method.rival and not method.family:
        return {"color": "black", "linestyle": "-"}
    if method.penalty or method.separate:
        return {"color": "black", "linestyle": _PENALTY_LINES[method.penalty]}
    colour = colour_of(name_of(method.family) if method.family else "Identity")
    is_variant = method.learned or method.heads or method.two_sided
    return {"color": colour, "linestyle": "--" if is_variant else "-"}


def plot_curve(axes: Axes, group: Group, label: str, **style: Any) -> None:
    """Plot the curve of the records with its range over the seeds."""
    curves = [
        [percent(correct, record["curve"]["images"]) for correct in record["curve"]["correct"]]
        for record in group.records
    ]
    plot_spread(axes, group.records[0]["curve"]["steps"], curves, label=label, **style)


def plot_spread(
    axes: Axes,
    places: Sequence[float],
    curves: Sequence[Sequence[float]],
    *,
    color: Any,
    **style: Any,
) -> None:
    """Plot the mean of some curves, one for each seed, and shade their range.

    Args:
        axes: The axes.
        places: Coordinates along the first axis.
        curves: Values, as many in each as there are places.
        color: Colour of the mean, and paler of the range.
        style: Style of the mean, as for `Axes.plot`.
    """
    points = list(zip(*curves, strict=True))
    means = [mean(values) for values in points]
    axes.plot(places, means, **{"linewidth": 1, "color": color, **style})
    if len(curves) > 1:
        low, high = [min(values) for values in points], [max(values) for values in points]
        axes.fill_between(places, low, high, color=color, alpha=0.2, linewidth=0)


def row_of_panels(
    count: int, size: tuple[float, float], **options: Any
) -> tuple[Figure, Sequence[Axes]]:
    """Create a figure with a row of panels.

    Args:
        count: Number of panels.
        size: Width and height in inches.
        options: Further options of `subplots`.
    """
    figure, rows = plt.subplots(
        1, count, figsize=size, squeeze=False, layout="constrained", **options
    )
    return figure, rows[0]


def legend_below(axes: Axes, place: float, *handles_and_labels: Sequence[Any]) -> None:
    """Add a legend below the axes, where it hides nothing; `place` is in heights of the axes."""
    handles, labels = handles_and_labels or axes.get_legend_handles_labels()
    columns = 3 if max(map(len, labels), default=0) <= LONG_LABEL else 2
    legend = axes.legend(handles, labels, fontsize=6, ncols=columns, loc="upper center")
    legend.set_bbox_to_anchor((0.5, place), axes.transAxes)


def plain_ticks(axis: Axis, values: Sequence[float]) -> None:
    """Set ticks of a logarithmic axis, labelled without exponents, and keep its limits."""
    low, high = axis.get_view_interval()
    shown = [value for value in values if low <= value <= high]
    axis.set_ticks(shown, [f"{value:g}" for value in shown])
    axis.set_ticks([], minor=True)


def save_figure(figure: Figure, path: Path) -> list[Path]:
    """Save a figure as PNG and SVG, and close it.

    Args:
        figure: The figure.
        path: Destination without a suffix; its folder is created.

    Returns:
        The two files.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    files = [path.with_name(f"{path.name}.{suffix}") for suffix in ("png", "svg")]
    figure.savefig(files[0], dpi=150, metadata={"Software": None})
    figure.savefig(files[1], metadata={"Date": None})
    plt.close(figure)
    return files
