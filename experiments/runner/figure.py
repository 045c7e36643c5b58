"""How all figures look, and how they are saved."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure

from experiments.runner.families import FAMILIES

# Identical records give identical files: no date in them, and fixed ids in the SVG.
matplotlib.rcParams["svg.hashsalt"] = "superposition"

_CYCLE = ("C0", "C1", "C2", "C3", "C4", "C5", "C6", "C8", "C9")  # C7 is grey
_COLOURS = dict(zip(sorted(set(FAMILIES) - {"Identity"}), _CYCLE, strict=True))

_WITHOUT_FAMILY = {"EWC": ":", "OnlineEWC": (0, (1, 3)), "SI": "-.", "single": "--"}


def colour_of(family: str) -> str:
    """One colour per family in every figure; grey for Identity, the standard network."""
    return "grey" if family == "Identity" else _COLOURS[family]


def style_of(method: str) -> dict[str, Any]:
    """Colour and line of a method: of its family, broken if learned; black for those without."""
    if method in _WITHOUT_FAMILY:
        return {"color": "black", "linestyle": _WITHOUT_FAMILY[method]}
    family = method.removeprefix("Learned")
    colour = colour_of(family if family in FAMILIES else "Identity")
    return {"color": colour, "linestyle": "-" if family == method else "--"}


def plot_spread(
    axes: Axes,
    places: Sequence[float],
    curves: Sequence[Sequence[float]],
    *,
    color: Any,
    **style: Any,
) -> None:
    """The mean of some curves, one of each seed, and their range as a shade.

    Args:
        axes: Where to draw.
        places: Along the first axis.
        curves: Each as long as `places`.
        color: Of the mean, and paler of the range.
        style: Of the mean, as for `Axes.plot`.
    """
    points = list(zip(*curves, strict=True))
    axes.plot(places, [mean(each) for each in points], **{"linewidth": 1, "color": color, **style})
    if len(curves) > 1:
        low, high = [min(each) for each in points], [max(each) for each in points]
        axes.fill_between(places, low, high, color=color, alpha=0.2, linewidth=0)


def plain_ticks(axis: Axis, values: Sequence[float]) -> None:
    """Ticks of a logarithmic axis at these values, in plain numbers, without moving its limits."""
    low, high = axis.get_view_interval()
    shown = [value for value in values if low <= value <= high]
    axis.set_ticks(shown, [f"{value:g}" for value in shown])
    axis.set_ticks([], minor=True)


def save_figure(figure: Figure, path: Path) -> list[Path]:
    """Save as PNG and SVG.

    Args:
        figure: Closed by this.
        path: Where, without an ending; its folder is made.

    Returns:
        The two files.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    files = [path.with_name(f"{path.name}.{ending}") for ending in ("png", "svg")]
    figure.savefig(files[0], dpi=150, metadata={"Software": None})
    figure.savefig(files[1], metadata={"Date": None})
    plt.close(figure)
    return files
