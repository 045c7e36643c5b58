"""The price of one more model: bytes against accuracy, from records."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

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
from experiments.runner.record import Record
from experiments.studies.permuting.run import PermutingRun, learner_of
from experiments.studies.permuting.summary import results_of

HEADS = (
    "method",
    "bytes per added model",
    "all (%)",
    "just learned (%)",
    "forgetting (%)",
    "learning rate",
    "n",
)


def bytes_of(group: Group) -> int:
    """Return the bytes by which one more model enlarges a file.

    Records that predate the field have them recounted from their config.
    """
    record = group.records[0]
    if "bytes_per_added_model" in record:
        count: int = record["bytes_per_added_model"]
        return count
    config = {**record["config"], "method": Method.parse(record["config"]["method"])}
    return num_bytes(learner_of(PermutingRun(**config), classes=10).added_tensors())


def price_table(records: Sequence[Record]) -> str:
    """Format a Markdown table with a row for each method, the cheapest first."""
    rows = []
    for group in _sorted(records):
        results = results_of(group)
        learned = [
            percent_of(mean(row[-1] for row in fractions_of(record)[0])) for record in group.records
        ]
        rows.append(
            [
                method_of(group),
                f"{bytes_of(group):,}",
                spread([result.all for result in results]),
                spread(learned),
                spread([result.forgetting for result in results]),
                f"{group.config.get('later_learning_rate') or group['learning_rate']:g}",
                str(len(group.records)),
            ]
        )
    return markdown_table(HEADS, rows)


def draw_price(records: Sequence[Record], path: Path) -> list[Path]:
    """Draw the mean accuracy on all tasks over the bytes per added model.

    Methods that add nothing have a panel of their own, beside the logarithmic axis.

    Args:
        records: Records of the preset `price`.
        path: Destination without a suffix.

    Returns:
        The files; none if no rival has a record.
    """
    groups = _sorted(records)
    if not any(Method.parse(group["method"]).rival for group in groups):
        return []
    figure, (free, paid) = plt.subplots(
        1, 2, figsize=(9, 6), sharey=True, width_ratios=(2, 5), layout="constrained"
    )
    _plot(free, [group for group in groups if bytes_of(group) == 0])
    _plot(paid, [group for group in groups if bytes_of(group)])
    free.set(xlim=(-0.2, 1), xlabel="0", ylabel="mean accuracy on all tasks (%)", ylim=(0, 106))
    free.set_xticks([])
    sizes = [size for size in map(bytes_of, groups) if size]
    paid.set(xscale="log", xlim=(min(sizes) / 2, 6 * max(sizes)), xlabel="bytes per added model")
    tasks = len(groups[0].records[0]["final"]["correct"])
    figure.suptitle(f"After {tasks} permutations, {groups[0]['width']} units")
    return save_figure(figure, path)


def _plot(axes: Axes, groups: Sequence[Group]) -> None:
    """Plot each method as a dot with its range over the seeds and its name, names apart."""
    heights = [mean(result.all for result in results_of(group)) for group in groups]
    for group, height, place in zip(groups, heights, keep_apart(heights, 2.2), strict=True):
        colour = style_of(group["method"])["color"]
        accuracies = [result.all for result in results_of(group)]
        size = bytes_of(group)
        marker = "D" if Method.parse(group["method"]).has_base else "o"
        axes.plot([size] * 2, [min(accuracies), max(accuracies)], color=colour, linewidth=1)
        axes.plot(size, height, marker, color=colour, markersize=4)
        axes.annotate(
            method_of(group),
            (size, height),
            xytext=(1.25 * size or 0.2, place),
            fontsize=6,
            va="center",
            arrowprops={
                "arrowstyle": "-",
                "linewidth": 0.3,
                "color": "grey",
                "relpos": (0, 0.5),
                "shrinkA": 1,
            },
        )


def keep_apart(heights: Sequence[float], least: float) -> list[float]:
    """Move heights as little as needed until no two are closer than `least`, in the same order.

    Example:
        >>> from experiments.studies.permuting.price_figure import keep_apart
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


def _sorted(records: Sequence[Record]) -> list[Group]:
    """Return the groups by bytes, and by accuracy where these are equal."""

    def rank(group: Group) -> tuple[int, float]:
        return bytes_of(group), -mean(result.all for result in results_of(group))

    return sorted(groups_of(records), key=rank)
