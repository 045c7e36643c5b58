"""Figures of a capacity study, from its record."""

from pathlib import Path
from statistics import mean

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from analysis.capacity import Capacity
from experiments.runner.figure import colour_of, plain_ticks, save_figure
from experiments.runner.record import Record
from experiments.studies.capacity.retrieval import mean_curve
from experiments.studies.capacity.summary import (
    accuracy_curves,
    network_capacities,
    predicted_capacities,
    predicted_curve,
    trained_families,
)


def draw(record: Record, path: Path) -> list[Path]:
    """Draw `<path>-networks` and `<path>-retrieval`.

    Args:
        record: Record of a capacity study.
        path: Destination without a suffix.

    Returns:
        The files.
    """
    return [*_draw_networks(record, path), *_draw_retrieval(record, path)]


def _draw_networks(record: Record, path: Path) -> list[Path]:
    config = record["config"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    widths = config["widths"]
    width = widths[(len(widths) - 1) // 2]  # neither all fit nor hardly any
    tolerance = _informative_tolerance(record)
    for family in trained_families(record):
        runs = [run for run in record["networks"] if run["family"] == family]
        shown = [accuracy_curves(run)[1] for run in runs if run["width"] == width]
        curve = [100 * mean(points) for points in zip(*shown, strict=True)]
        left.plot(range(1, len(curve) + 1), curve, color=colour_of(family), label=family)
        _plot_prediction(left, record, family, width)
        _plot_capacities(right, network_capacities(record, family, tolerance), family)
        _plot_predicted(right, predicted_capacities(record, family, tolerance), family)
    left.set(
        xlabel="networks stored, K",
        ylabel="mean accuracy of all K (%)",
        title=f"Accuracy at {width} units",
        ylim=(0, 100),
    )
    if record.get("predicted"):
        label = f"predicted from the first {config['observed']}"
        left.plot([], [], "--", color="black", linewidth=1, label=label)
        circles = right.plot([], [], "o", mfc="none", ms=9, color="black", label=label)
        right.legend(handles=circles, fontsize=8, loc="lower right")
    left.legend(fontsize=8, loc="lower left")
    right.set(
        xscale="log",
        yscale="log",
        xlabel="units per hidden layer",
        ylabel="largest K",
        title=f"Networks that fit: points of accuracy lost ≤ {tolerance:g}",
    )
    plain_ticks(right.xaxis, config["widths"])
    plain_ticks(right.yaxis, [1, 2, 5, 10, 20, 50, 100, 200])
    right.axhline(config["tasks"], color="grey", linestyle=":", linewidth=1)
    right.annotate(
        "all that were trained",
        (config["widths"][0], config["tasks"]),
        fontsize=8,
        color="grey",
        va="bottom",
    )
    figure.suptitle(f"Networks in one set of weights: permuted {config['dataset']}")
    return save_figure(figure, path.with_name(f"{path.name}-networks"))


def _plot_prediction(axes: Axes, record: Record, family: str, width: int) -> None:
    """Plot the predicted curve, dashed, with a band of ± a standard deviation between curves."""
    curves = [
        predicted_curve(run)
        for run in record.get("predicted", [])
        if (run["family"], run["width"]) == (family, width)
    ]
    if not curves:
        return
    trained = record["config"]["tasks"]
    centre, spread = (100 * np.mean(part, axis=0)[:trained] for part in zip(*curves, strict=True))
    counts = range(1, len(centre) + 1)
    colour = colour_of(family)
    axes.plot(counts, centre, "--", color=colour, linewidth=1)
    axes.fill_between(counts, centre - spread, centre + spread, color=colour, alpha=0.1, lw=0)


def _informative_tolerance(record: Record) -> float:
    """Return the largest tolerance that all but a fifth of the curves reach; else the smallest."""
    tolerances: list[float] = sorted(record["config"]["tolerance"], reverse=True)
    for points in tolerances:
        by_family = [network_capacities(record, name, points) for name in trained_families(record)]
        capacities = [each for widths in by_family for seeds in widths.values() for each in seeds]
        if sum(each.at_limit for each in capacities) <= len(capacities) / 5:
            return points
    return tolerances[-1]


def _plot_capacities(axes: Axes, capacities: dict[int, list[Capacity]], family: str) -> None:
    """Plot the mean over seeds and the range as a bar; a triangle if the curve ended too early."""
    counts = {
        size: [max(capacity.estimate, 0.8) for capacity in seeds]
        for size, seeds in capacities.items()
    }
    centre = [mean(values) for values in counts.values()]
    low = [mean(values) - min(values) for values in counts.values()]
    high = [max(values) - mean(values) for values in counts.values()]
    colour = colour_of(family)
    axes.errorbar(
        list(counts), centre, yerr=(low, high), color=colour, marker="o", ms=4, label=family
    )
    for size, seeds in capacities.items():
        if any(capacity.at_limit for capacity in seeds):
            axes.plot(size, mean(counts[size]), marker="^", color=colour, ms=9)


def _plot_predicted(axes: Axes, capacities: dict[int, list[Capacity]], family: str) -> None:
    """Plot the mean over seeds of the prediction as an open circle."""
    for size, seeds in capacities.items():
        if seeds:
            centre = mean(capacity.num_models for capacity in seeds)
            axes.plot(size, centre, "o", mfc="none", ms=9, color=colour_of(family))


def _draw_retrieval(record: Record, path: Path) -> list[Path]:
    config = record["config"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    dim, width = config["dims"][-1], config["widths"][-1]
    for family in config["families"]:
        curves = [
            run["points"]
            for run in record["aligned"]
            if (run["family"], run["dim"]) == (family, dim)
        ]
        models = [point["models"] for point in curves[0]]
        colour = colour_of(family)
        left.plot(models, mean_curve(curves, "expected"), color=colour, linewidth=1)
        left.plot(models, mean_curve(curves, "snr"), "o", color=colour, ms=4, label=family)
        for kind, style in (("difference", "-"), ("whole", "--")):
            curves = [
                run["families"][family][kind] for run in record["trained"] if run["width"] == width
            ]
            models = [point["models"] for point in curves[0]]
            right.plot(models, mean_curve(curves, "expected"), style, color=colour, linewidth=1)
            right.plot(models, mean_curve(curves, "snr"), "o", color=colour, ms=4)
    left.axhline(config["target_snr"], color="grey", linestyle=":", linewidth=1)
    left.set(title=f"Models of one input, all weights aligned with it, dim {dim}")
    left.legend(fontsize=8, ncols=2)
    right.set(title=f"Layers of networks trained apart, {width} units")
    for style, label in (("-", "stored as differences from their start"), ("--", "stored whole")):
        right.plot([], [], style, color="black", linewidth=1, label=label)
    right.legend(fontsize=8)
    for axes in (left, right):
        axes.set(xscale="log", yscale="log", xlabel="models stored, K")
        axes.set(ylabel="signal / noise power")
        plain_ticks(axes.xaxis, [2, 4, 8, 16, 32, 64, 128, 256, 512])
    figure.suptitle("Retrieval: measured (points) and the closed form (lines)")
    return save_figure(figure, path.with_name(f"{path.name}-retrieval"))
