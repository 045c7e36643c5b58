"""Tables of a capacity study: how many models fit."""

import math
from collections.abc import Callable, Sequence
from statistics import geometric_mean, mean, stdev

import numpy as np

from analysis.capacity import (
    Capacity,
    Growth,
    capacity_at_snr,
    capacity_at_tolerance,
    fit_growth,
)
from experiments.runner.groups import markdown_table
from experiments.runner.record import Record


def aligned_capacities(
    record: Record, family: str, field: str = "snr"
) -> dict[int, list[Capacity]]:
    """Return the largest K of aligned models at the target SNR, by dim and seed.

    Args:
        record: Record of a capacity study.
        family: Name of a family.
        field: "snr" for the measurement, "expected" for the closed form.
    """
    capacities: dict[int, list[Capacity]] = {dim: [] for dim in record["config"]["dims"]}
    for run in record["aligned"]:
        if run["family"] == family:
            capacities[run["dim"]].append(_at_target(record, run["points"], field))
    return capacities


def layer_capacities(record: Record, family: str, field: str = "snr") -> dict[int, list[Capacity]]:
    """Return the largest K of trained layers, stored as differences, by width and seed."""
    capacities: dict[int, list[Capacity]] = {width: [] for width in record["config"]["widths"]}
    for run in record["trained"]:
        points = run["families"][family]["difference"]
        capacities[run["width"]].append(_at_target(record, points, field))
    return capacities


def _at_target(record: Record, points: list[dict[str, float]], field: str) -> Capacity:
    models = [1, *(int(point["models"]) for point in points)]
    ratios = [math.inf, *(point[field] for point in points)]  # a model alone has no noise
    return capacity_at_snr(models, ratios, record["config"]["target_snr"])


def network_capacities(record: Record, family: str, points: float) -> dict[int, list[Capacity]]:
    """Return the largest K of networks that lose at most `points`, by width and seed."""
    capacities: dict[int, list[Capacity]] = {width: [] for width in record["config"]["widths"]}
    for run in record["networks"]:
        if run["family"] == family:
            learned, now = accuracy_curves(run)
            models = range(1, len(now) + 1)
            capacity = capacity_at_tolerance(models, now, learned, points / 100)
            capacities[run["width"]].append(capacity)
    return capacities


def accuracy_curves(run: Record) -> tuple[list[float], list[float]]:
    """Return, per K, the mean accuracy of K tasks when just learned, and after the K-th task."""
    share = 1 / run["test_images"]
    rows = run["correct"]
    learned = [mean(row[-1] for row in rows[: count + 1]) * share for count in range(len(rows))]
    return learned, [mean(row) * share for row in rows]


def trained_families(record: Record) -> list[str]:
    """Return the families with which networks were trained, in their order."""
    config = record["config"]
    return [name for name in config["families"] if name not in config["untrained"]]


def growth(capacities: dict[int, list[Capacity]], offset: float = 0.0) -> Growth:
    """Fit the exponent with which K − offset grows with the dim or width, over all seeds."""
    sizes = [size for size, seeds in capacities.items() for _ in seeds]
    points = [capacity for seeds in capacities.values() for capacity in seeds]
    return fit_growth(sizes, points, offset=offset)


def predicted_capacities(record: Record, family: str, points: float) -> dict[int, list[Capacity]]:
    """Return the predicted K of networks that lose at most `points`, by width and seed."""
    capacities: dict[int, list[Capacity]] = {width: [] for width in record["config"]["widths"]}
    for run in record.get("predicted", []):  # records of an earlier format hold none
        if run["family"] == family:
            count = run["capacity"][f"{points:g}"]["models"]
            fails_at = None if run["capacity"][f"{points:g}"]["at_limit"] else count + 1
            capacities[run["width"]].append(Capacity(count, fails_at, float(count)))
    return capacities


def predicted_curve(run: Record) -> tuple[list[float], list[float]]:
    """Return the predicted mean accuracy of K models, K = 1, 2, …, and its standard deviation."""
    counts = np.arange(1, run["models"][-1] + 1)
    curves = (np.interp(counts, run["models"], run[part]) for part in ("accuracy", "spread"))
    accuracy, spread = (curve.tolist() for curve in curves)
    return accuracy, spread


def network_table(record: Record, points: float) -> str:
    """Format how many networks fit, measured (predicted), by family and width."""
    widths = record["config"]["widths"]
    rows = []
    for family in trained_families(record):
        capacities = network_capacities(record, family, points)
        predicted = predicted_capacities(record, family, points)
        counts = []
        for width in widths:
            of_prediction = f" ({_mean_count(predicted[width])})" if predicted[width] else ""
            counts.append(_count(capacities[width]) + of_prediction)
        rows.append([family, *counts, _exponent(capacities)])
    return markdown_table(
        ["family", *(f"{width} units" for width in widths), "exponent"], rows, aligned=True
    )


def accuracy_table(record: Record) -> str:
    """Format the accuracy when just learned, and of all tasks after the last, in percent."""
    widths = record["config"]["widths"]
    rows = []
    for family in trained_families(record):
        row = [family]
        for width in widths:
            curves = [
                accuracy_curves(run)
                for run in record["networks"]
                if (run["family"], run["width"]) == (family, width)
            ]
            learned, now = (100 * mean(curve[which][-1] for curve in curves) for which in (0, 1))
            row.append(f"{learned:.1f} → {now:.1f}")
        rows.append(row)
    return markdown_table(["family", *(f"{width} units" for width in widths)], rows, aligned=True)


def aligned_table(record: Record) -> str:
    """Format the K at which the SNR of aligned models falls below the target."""
    return _crossing_table(record, aligned_capacities, record["config"]["dims"], "dim")


def layer_table(record: Record) -> str:
    """Format the K at which the SNR of trained layers falls below the target."""
    return _crossing_table(record, layer_capacities, record["config"]["widths"], "width")


def _crossing_table(
    record: Record,
    capacities: Callable[[Record, str, str], dict[int, list[Capacity]]],
    sizes: list[int],
    size_name: str,
) -> str:
    rows = []
    for family in record["config"]["families"]:
        measured = capacities(record, family, "snr")
        exact = capacities(record, family, "expected")
        cells = [f"{_crossing(measured[size])} ({_crossing(exact[size])})" for size in sizes]
        rows.append([family, *cells, _exponent(measured, offset=1.0)])
    return markdown_table(
        ["family", *(f"{size_name} {size}" for size in sizes), "exponent of K − 1"],
        rows,
        aligned=True,
    )


def trained_table(record: Record) -> str:
    """Format the SNR of trained layers at the largest K, whole and as differences."""
    widths = record["config"]["widths"]
    rows = []
    for family in record["config"]["families"]:
        row = [family]
        for width in widths:
            for kind in ("whole", "difference"):
                last = [
                    run["families"][family][kind][-1]
                    for run in record["trained"]
                    if run["width"] == width
                ]
                measured, exact = (
                    1 / mean(1 / point[field] for point in last) for field in ("snr", "expected")
                )
                row.append(f"{measured:.2g} ({exact:.2g})")
        rows.append(row)
    head = [f"{width}, {kind}" for width in widths for kind in ("whole", "difference")]
    return markdown_table(["family", *head], rows, aligned=True)


def report(record: Record) -> str:
    """Format all tables with headings, for the terminal."""
    config = record["config"]
    sections = [
        f"Networks on {config['dataset']}: largest K with at most {points:g} points of mean "
        f"accuracy lost (of {config['tasks']}; ± standard deviation over seeds; in brackets the "
        f"prediction from the first {config.get('observed', 0)})"
        f"\n\n{network_table(record, points)}"
        for points in config["tolerance"]
    ]
    sections += [
        "Networks: mean accuracy in percent, when just learned → after all "
        f"{config['tasks']} tasks\n\n{accuracy_table(record)}",
        f"Aligned models of one input: largest K with SNR ≥ {config['target_snr']:g}, measured "
        f"(closed form)\n\n{aligned_table(record)}",
        f"Layers of networks trained apart, stored as differences from their start: largest K with "
        f"SNR ≥ {config['target_snr']:g}, measured (closed form)\n\n{layer_table(record)}",
        f"Layers of {config['trained_models']} networks trained apart, stored afterwards: SNR, "
        f"measured (closed form); whole weights, or differences from a common start"
        f"\n\n{trained_table(record)}",
    ]
    return "\n\n".join(sections)


def _count(capacities: Sequence[Capacity]) -> str:
    """Format mean ± standard deviation over seeds; a bound if a curve ended before the target."""
    limited = any(capacity.at_limit for capacity in capacities)
    counts = [capacity.num_models for capacity in capacities]
    spread = f" ± {stdev(counts):.1f}" if len(counts) > 1 and not limited else ""
    return f"{_mean_count(capacities)}{spread}"


def _mean_count(capacities: Sequence[Capacity]) -> str:
    bound = "≥ " if any(capacity.at_limit for capacity in capacities) else ""
    return f"{bound}{mean(capacity.num_models for capacity in capacities):.3g}"


def _crossing(capacities: Sequence[Capacity]) -> str:
    """Format the geometric mean over seeds of the crossing; a bound if a curve does not cross."""
    centre = geometric_mean(capacity.estimate for capacity in capacities)
    return f"{'≥ ' if any(each.at_limit for each in capacities) else ''}{centre:.2g}"


def _exponent(capacities: dict[int, list[Capacity]], offset: float = 0.0) -> str:
    """Format the exponent ± its standard error; – unless curves cross at two sizes."""
    fit = growth(capacities, offset)
    if fit.exponent is None:
        return "–"
    error = "" if fit.standard_error is None else f" ± {fit.standard_error:.2f}"
    return f"{fit.exponent:.2f}{error}"
