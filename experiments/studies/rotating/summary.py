"""Accuracies and tables from the records of runs on rotating images."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from experiments.runner.groups import (
    PARAMETER_HEADS,
    Group,
    groups_of,
    markdown_table,
    parameter_cells,
    percent,
    spread,
)
from experiments.runner.record import Record
from experiments.studies.rotating.contexts import INFERRED, SOURCES

SHARED = ("turns", "period", "batch", "learning_rate", "width", "precision")
"""Config fields that the runs of a table share."""

ROW_NAMES = ("images", "layers", "method", "contexts")
"""Heads of the first cells of a row, by which tables name a group."""


@dataclass(frozen=True)
class Result:
    """Accuracies of one run with contexts from one source, in percent.

    Attributes:
        final: At 0° after the last step, on all test images.
        lowest: At 0°, the lowest point of the last turn; None without such a curve.
        turn: At 0°, the mean over the last turn; None without such a curve.
        circle: Mean over the circle of angles after the last step.
        circle_lowest: Lowest of those angles.
    """

    final: float
    lowest: float | None
    turn: float | None
    circle: float
    circle_lowest: float


def default_source(record: Record) -> str:
    """Return the method's own source of contexts."""
    return "clock" if "clock" in record["final"] else "batches"


def result_of(record: Record, source: str | None = None) -> Result:
    """Return the accuracies of a run.

    Args:
        record: Record of the run.
        source: Source of contexts in the record, by default the method's own. Only that one has
            a curve within a turn; the others are measured once a turn.
    """
    default = default_source(record)
    source = source or default
    turn = last_turn(record) if source == default else None
    circle = circle_of(record, source)
    return Result(
        final=percent(record["final"][source], record["final"]["images"]),
        lowest=min(turn) if turn else None,
        turn=mean(turn) if turn else None,
        circle=mean(circle),
        circle_lowest=min(circle),
    )


def circle_of(record: Record, source: str | None = None) -> list[float]:
    """Return the accuracy at every angle of the circle after the last step, in percent."""
    if source in (None, default_source(record)):
        images, correct = record["circle"]["images"], record["circle"]["correct"]
    else:
        inferred = record["inferred_circle"]
        images, correct = inferred["images"], inferred[source]["correct"]
    return [percent(count, images) for count in correct]


def clock_context(record: Record, degrees: float) -> int:
    """Return the clock's context at an angle."""
    config = record["config"]
    step = round(degrees / 360 * config["period"]) % config["period"]
    context: int = step * config["contexts"] // config["period"]
    return context


def clock_beside_inferred(record: Record) -> float | None:
    """Return the mean over the circle by the clock, on the images with inferred contexts.

    None if the record's reach lacks some contexts.
    """
    reach = record["reach"]
    if len(reach["contexts"]) < record["config"]["contexts"]:
        return None
    correct = [
        counts[reach["contexts"].index(clock_context(record, degrees))]
        for degrees, counts in zip(reach["degrees"], reach["correct"], strict=True)
    ]
    return percent(sum(correct), reach["images"] * len(correct))


def last_turn(record: Record) -> list[float]:
    """Return the curve at 0° over the last turn, in percent.

    Example:
        >>> from experiments.studies.rotating.summary import last_turn
        >>> curve = {"images": 10, "steps": [10, 20, 30, 40], "correct": [1, 2, 3, 4]}
        >>> last_turn({"config": {"turns": 2, "period": 20}, "curve": curve})
        [30.0, 40.0]
    """
    return turns_of(record)[-1]


def turns_of(record: Record) -> list[list[float]]:
    """Return the curve at 0°, in percent, as one list per turn."""
    config, curve = record["config"], record["curve"]
    turns: list[list[float]] = [[] for _ in range(config["turns"])]
    for step, correct in zip(curve["steps"], curve["correct"], strict=True):
        turns[(step - 1) // config["period"]].append(percent(correct, curve["images"]))
    return turns


_TITLES = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "digits": "digits"}


def panels_of(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """Return the groups by image set, and by number of layers if above three."""
    panels: dict[str, list[Group]] = {}
    for group in groups:
        layers = group["hidden_layers"] + 1
        depth = f", {layers} layers" if layers > 3 else ""
        panels.setdefault(f"{_TITLES[group['dataset']]}{depth}", []).append(group)
    return panels


def choice_of(group: Group) -> str:
    """Return how the contexts of a group of runs are chosen, in the paper's words."""
    if group["method"] == "standard":
        return "none"
    if group["choose"] != "clock":
        return f"{group['contexts']} by {group['choose']}"
    if group["contexts"] < group["period"]:
        return f"{group['contexts']} windows"
    return "fast, local mix" if group["method"] == "LocalMix" else "fast"


def table(records: Sequence[Record]) -> str:
    """Return a Markdown table of runs of one recipe, one row per group."""
    rows = []
    for group in groups_of(records):
        results = [result_of(record) for record in group.records]
        rows.append(
            [
                *_row_names(group),
                spread([result.final for result in results]),
                spread([result.turn for result in results]),
                spread([result.lowest for result in results]),
                spread([result.circle for result in results]),
                spread([result.circle_lowest for result in results]),
                *parameter_cells(group),
            ]
        )
    heads = ["0°, end (%)", "0°, last turn (%)", "its lowest (%)", "circle (%)", "its lowest (%)"]
    return markdown_table([*ROW_NAMES, *heads, *PARAMETER_HEADS], rows)


def inferred_table(records: Sequence[Record]) -> str:
    """Return a Markdown table of accuracies without the clock, one row per group that infers."""
    rows = []
    for group in groups_of(records):
        if "inferred_circle" in group.records[0]:
            accuracies = [
                spread([_accuracy(record, source, place) for record in group.records])
                for place in ("final", "circle")
                for source in SOURCES
            ]
            rows.append([*_row_names(group), *accuracies, str(len(group.records))])
    heads = [f"{place} (%)" for place in ("0°: clock", *INFERRED, "circle: clock", *INFERRED)]
    return markdown_table([*ROW_NAMES, *heads, "n"], rows)


def _row_names(group: Group) -> list[str]:
    layers = str(group["hidden_layers"] + 1)
    return [group["dataset"], layers, group["method"], choice_of(group)]


def _accuracy(record: Record, source: str, place: str) -> float | None:
    """Return the accuracy at a place by a source; all sources are on the same images."""
    if source not in record["final"]:
        return None
    if (place, source) == ("circle", "clock"):
        return clock_beside_inferred(record)
    accuracy: float = getattr(result_of(record, source), place)
    return accuracy
