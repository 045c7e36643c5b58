"""The price of one more model: bytes against accuracy, from records."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.metrics import average_accuracy, forgetting
from experiments.methods.method import Method
from experiments.runner.added import num_bytes
from experiments.runner.figure import save_figure, style_of
from experiments.runner.groups import (
    Group,
    fractions_of,
    groups_of,
    markdown_table,
    method_of,
    percent_of,
    spread,
)
from experiments.runner.learner import Learner
from experiments.runner.record import Record

LearnerOf = Callable[[dict[str, Any]], Learner]
"""Builds the learner of a config, to count the bytes of records that predate the field."""

HEADS = (
    "method",
    "bytes per added model",
    "all (%)",
    "just learned (%)",
    "forgetting (%)",
    "learning rate",
    "n",
)


def price_table(records: Sequence[Record], learner_of: LearnerOf) -> str:
    """Format a Markdown table with a row for each method, the cheapest first."""
    rows = []
    for size, group in _by_price(records, learner_of):
        tested = [fractions_of(record)[0] for record in group.records]
        rows.append(
            [
                label_of(group),
                f"{size:,}",
                spread(accuracies_of(group)),
                spread([percent_of(mean(row[-1] for row in rows)) for rows in tested]),
                spread([percent_of(forgetting(rows)) for rows in tested]),
                _rate(group),
                str(len(group.records)),
            ]
        )
    return markdown_table(HEADS, rows)


def draw_price(
    records: Sequence[Record], path: Path, learner_of: LearnerOf, title: str
) -> list[Path]:
    """Draw the mean accuracy on all tasks over the bytes per added model.

    Methods that add nothing have a panel of their own, beside the logarithmic axis.

    Args:
        records: Records of a comparison.
        path: Destination without a suffix.
        learner_of: See `LearnerOf`.
        title: Title, to which the number of tasks is added.

    Returns:
        The files; none if no rival has a record.
    """
    priced = _by_price(records, learner_of)
    if not any(Method.parse(group["method"]).rival for _, group in priced):
        return []
    figure, (free, paid) = plt.subplots(
        1, 2, figsize=(9, 6), sharey=True, width_ratios=(2, 5), layout="constrained"
    )
    heights = [mean(accuracies_of(group)) for _, group in priced]
    free.set(xlim=(-0.2, 1.1), xlabel="0", ylabel="mean accuracy on all tasks (%)")
    free.set(xticks=[], ylim=(min(heights) - 5, max(heights) + 5))
    sizes = [size for size, _ in priced if size]
    paid.set(xscale="log", xlim=(min(sizes) / 6, 4 * max(sizes)), xlabel="bytes per added model")
    _plot(free, [(size, group) for size, group in priced if not size])
    _plot(paid, [(size, group) for size, group in priced if size])
    shapes = {"D": "from the network of the first task", "o": "from scratch"}
    handles = [
        Line2D([], [], marker=marker, label=label, color="grey", linestyle="", markersize=4)
        for marker, label in shapes.items()
    ]
    paid.legend(handles=handles, fontsize=7, loc="lower right")
    tasks = len(priced[0][1].records[0]["final"]["correct"])
    figure.suptitle(f"{title}: {tasks} tasks", fontsize=10)
    return save_figure(figure, path)


def search_table(records: Sequence[Record]) -> str:
    """Format a Markdown table of the learning rates that were searched, and the best of each.

    The best rate has the highest mean accuracy on all tasks at the end.
    """
    tried: dict[str, list[tuple[float, Group]]] = {}
    for group in groups_of(records):
        tried.setdefault(group["method"], []).append((mean(accuracies_of(group)), group))
    rows = []
    for method, results in tried.items():
        best = max(results, key=lambda result: result[0])[1]
        each = (f"{_rate(group)}: {accuracy:.1f}" for accuracy, group in results)
        rows.append([method, _rate(best), ", ".join(each)])
    return markdown_table(["method", "best rate", "all (%) at each"], rows)


def _rate(group: Group) -> str:
    """Return the learning rate of the later tasks, and the strength of a penalty."""
    rate = f"{group.config.get('later_learning_rate') or group['learning_rate']:g}"
    return rate if group["strength"] is None else f"{rate} ({group['strength']:g})"


def label_of(group: Group) -> str:
    """Return the method with its strength, and its norms unless those are of the batch."""
    norms = group.config.get("norms", "batch")
    return method_of(group) + ("" if norms == "batch" else f", norms {norms}")


def accuracies_of(group: Group) -> list[float]:
    """Return the mean accuracy on all tasks at the end, in percent, for each seed."""
    tested = [fractions_of(record) for record in group.records]
    return [percent_of(average_accuracy([*rows[:-1], final])) for rows, final in tested]


def keep_apart(heights: Sequence[float], least: float) -> list[float]:
    """Move heights as little as needed until no two are closer than `least`, in the same order.

    Example:
        >>> from experiments.runner.price import keep_apart
        >>> keep_apart([50.0, 10.0, 51.0], 3)
        [49.0, 10.0, 52.0]
    """
    order = sorted(range(len(heights)), key=heights.__getitem__)
    blocks: list[tuple[float, int]] = []  # mean of the heights less their ranks' shifts, and size
    for rank, index in enumerate(order):
        block = (heights[index] - least * rank, 1)
        while blocks and blocks[-1][0] > block[0]:
            mean_before, size = blocks.pop()
            total = mean_before * size + block[0] * block[1]
            block = (total / (size + block[1]), size + block[1])
        blocks.append(block)
    levels = [level for level, size in blocks for _ in range(size)]
    placed = list(heights)
    for rank, index in enumerate(order):
        placed[index] = levels[rank] + least * rank
    return placed


def _by_price(records: Sequence[Record], learner_of: LearnerOf) -> list[tuple[int, Group]]:
    """Return the groups with their bytes, in this order, the most accurate first among equals."""

    def bytes_of(group: Group) -> int:
        record = group.records[0]
        if "bytes_per_added_model" in record:
            return int(record["bytes_per_added_model"])
        return num_bytes(learner_of(record["config"]).added_tensors())

    priced = [(bytes_of(group), group) for group in groups_of(records)]
    return sorted(priced, key=lambda pair: (pair[0], -mean(accuracies_of(pair[1]))))


def _plot(axes: Axes, priced: Sequence[tuple[int, Group]]) -> None:
    """Plot each method as a dot with its range over the seeds, and its name beside it."""
    low, high = axes.get_ylim()
    heights = [mean(accuracies_of(group)) for _, group in priced]
    places = keep_apart(heights, 0.023 * (high - low))
    for (size, group), height, place in zip(priced, heights, places, strict=True):
        colour = style_of(group["method"])["color"]
        accuracies = accuracies_of(group)
        marker = "D" if Method.parse(group["method"]).has_base else "o"
        axes.plot([size] * 2, [min(accuracies), max(accuracies)], color=colour, linewidth=1)
        axes.plot(size, height, marker, color=colour, markersize=4)
        crowded = any(size < other <= 2 * size for other, _ in priced)  # on the right
        axes.annotate(
            label_of(group),
            (size, height),
            xytext=((0.8 if crowded else 1.25) * size or 0.2, place),
            fontsize=6,
            va="center",
            ha="right" if crowded else "left",
            arrowprops={
                "arrowstyle": "-",
                "linewidth": 0.3,
                "color": "grey",
                "relpos": (float(crowded), 0.5),
                "shrinkA": 1,
            },
        )
