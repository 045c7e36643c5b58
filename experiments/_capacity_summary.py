"""From the record of a capacity study to its answer: how many models fit, as tables."""

import math
from collections.abc import Callable, Iterable
from statistics import geometric_mean, mean, stdev

from analysis.capacity import (
    Capacity,
    Growth,
    capacity_at_snr,
    capacity_at_tolerance,
    fit_growth,
)
from experiments.runner.record import Record


def aligned_capacities(
    record: Record, family: str, field: str = "snr"
) -> dict[int, list[Capacity]]:
    """By dim, for each seed: the largest K of aligned models at the target SNR.

    Args:
        record: Of a capacity study.
        family: One of its families.
        field: "snr" for what was measured, "expected" for the closed form.
    """
    found: dict[int, list[Capacity]] = {dim: [] for dim in record["config"]["dims"]}
    for run in record["aligned"]:
        if run["family"] == family:
            found[run["dim"]].append(_at_target(record, run["points"], field))
    return found


def layer_capacities(record: Record, family: str, field: str = "snr") -> dict[int, list[Capacity]]:
    """By width, for each seed: the largest K of trained layers, stored as differences."""
    found: dict[int, list[Capacity]] = {width: [] for width in record["config"]["widths"]}
    for run in record["trained"]:
        points = run["families"][family]["difference"]
        found[run["width"]].append(_at_target(record, points, field))
    return found


def _at_target(record: Record, points: list[dict[str, float]], field: str) -> Capacity:
    models = [1, *(int(point["models"]) for point in points)]
    ratios = [math.inf, *(point[field] for point in points)]  # a model alone has no noise
    return capacity_at_snr(models, ratios, record["config"]["target_snr"])


def network_capacities(record: Record, family: str, points: float) -> dict[int, list[Capacity]]:
    """By width, for each seed: the largest K of networks that lose at most so many points."""
    found: dict[int, list[Capacity]] = {width: [] for width in record["config"]["widths"]}
    for run in record["networks"]:
        if run["family"] == family:
            learned, now = accuracy_curves(run)
            models = range(1, len(now) + 1)
            found[run["width"]].append(capacity_at_tolerance(models, now, learned, points / 100))
    return found


def accuracy_curves(run: Record) -> tuple[list[float], list[float]]:
    """Mean accuracy of the first K tasks when each was just learned, and after task K; per K."""
    share = 1 / run["test_images"]
    rows = run["correct"]
    learned = [mean(row[-1] for row in rows[: count + 1]) * share for count in range(len(rows))]
    return learned, [mean(row) * share for row in rows]


def trained_families(record: Record) -> list[str]:
    """The families that networks were trained with, in their order."""
    config = record["config"]
    return [name for name in config["families"] if name not in config["untrained"]]


def growth(capacities: dict[int, list[Capacity]], offset: float = 0.0) -> Growth:
    """The exponent with which K − offset grows with the dim or width, over all seeds."""
    sizes = [size for size, found in capacities.items() for _ in found]
    every = [each for found in capacities.values() for each in found]
    return fit_growth(sizes, every, offset=offset)


def network_table(record: Record, points: float) -> str:
    """How many networks fit: families × widths, and the exponent."""
    widths = record["config"]["widths"]
    rows = []
    for family in trained_families(record):
        found = network_capacities(record, family, points)
        rows.append([family, *(_count(found[width]) for width in widths), _exponent(found)])
    return _table(["family", *(f"{width} units" for width in widths), "exponent"], rows)


def accuracy_table(record: Record) -> str:
    """Accuracy when just learned, and of all tasks after the last, in percent."""
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
    return _table(["family", *(f"{width} units" for width in widths)], rows)


def aligned_table(record: Record) -> str:
    """Where the SNR of aligned models falls below the target: K measured (closed form)."""
    return _crossing_table(record, aligned_capacities, record["config"]["dims"], "dim")


def layer_table(record: Record) -> str:
    """The same for trained layers, stored as differences."""
    return _crossing_table(record, layer_capacities, record["config"]["widths"], "width")


def _crossing_table(
    record: Record,
    capacities: Callable[[Record, str, str], dict[int, list[Capacity]]],
    sizes: list[int],
    size_name: str,
) -> str:
    rows = []
    for family in record["config"]["families"]:
        found = capacities(record, family, "snr")
        exact = capacities(record, family, "expected")
        cells = [f"{_crossing(found[size])} ({_crossing(exact[size])})" for size in sizes]
        rows.append([family, *cells, _exponent(found, offset=1.0)])
    return _table(["family", *(f"{size_name} {size}" for size in sizes), "exponent of K − 1"], rows)


def trained_table(record: Record) -> str:
    """SNR of trained layers at the largest K, whole and as differences: measured (closed form)."""
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
    return _table(["family", *head], rows)


def report(record: Record) -> str:
    """All tables with a heading each: what the command prints."""
    config = record["config"]
    sections = [
        f"Networks on {config['dataset']}: largest K with at most {points:g} points of mean "
        f"accuracy lost (of {config['tasks']}; ± standard deviation over seeds)"
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


def _count(found: Iterable[Capacity]) -> str:
    """Mean ± standard deviation over seeds; a bound where a curve ended before the target."""
    found = list(found)
    counts = [each.num_models for each in found]
    if any(each.at_limit for each in found):
        return f"≥ {mean(counts):.3g}"
    spread = f" ± {stdev(counts):.1f}" if len(counts) > 1 else ""
    return f"{mean(counts):.3g}{spread}"


def _crossing(found: list[Capacity]) -> str:
    """Geometric mean over seeds of where the curves cross the target; a bound if one does not."""
    centre = geometric_mean(each.estimate for each in found)
    return f"{'≥ ' if any(each.at_limit for each in found) else ''}{centre:.2g}"


def _exponent(capacities: dict[int, list[Capacity]], offset: float = 0.0) -> str:
    """The exponent ± its standard error; none where a curve was not crossed at two sizes."""
    fit = growth(capacities, offset)
    if fit.exponent is None:
        return "–"
    error = "" if fit.standard_error is None else f" ± {fit.standard_error:.2f}"
    return f"{fit.exponent:.2f}{error}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    """Markdown, with the columns aligned for a terminal."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    pad: Callable[[list[str]], str] = lambda row: (  # noqa: E731
        "| " + " | ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)) + " |"
    )
    rule = "|" + "|".join("-" * (size + 2) for size in widths) + "|"
    return "\n".join([pad(head), rule, *map(pad, rows)])
