"""How all figures look, and how they are saved."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.axis import Axis
from matplotlib.figure import Figure

from experiments.runner.families import FAMILIES

# Identical records give identical files: no date in them, and fixed ids in the SVG.
matplotlib.rcParams["svg.hashsalt"] = "superposition"

_CYCLE = ("C0", "C1", "C2", "C3", "C4", "C5", "C6", "C8", "C9")  # C7 is grey
_COLOURS = dict(zip(sorted(set(FAMILIES) - {"Identity"}), _CYCLE, strict=True))


def colour_of(family: str) -> str:
    """One colour per family in every figure; grey for Identity, the standard network."""
    return "grey" if family == "Identity" else _COLOURS[family]


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
