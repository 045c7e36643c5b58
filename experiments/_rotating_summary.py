"""Numbers and tables from the records of runs on turning images."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from experiments.runner.groups import Group, diverged_lines, groups_of, spread
from experiments.runner.record import Record

ONE_RECIPE = ("turns", "period", "batch", "learning_rate", "width", "precision")
"""What a table is of: its runs agree in these."""

READINGS = ("clock", "batches", "samples")
"""See `experiments._rotating_reading.Readings`."""


@dataclass(frozen=True)
class Result:
    """What one run comes to by one reading; accuracies in percent.

    Attributes:
        final: At 0° after the last step, on all test images.
        lowest: At 0°, the lowest point of the last turn; None if there is no such curve.
        turn: At 0°, the mean over the last turn; likewise.
        circle: The mean over the circle of angles after the last step.
        circle_lowest: The lowest of those angles.
    """

    final: float
    lowest: float | None
    turn: float | None
    circle: float
    circle_lowest: float


def own_reading(record: Record) -> str:
    """How the method itself gets its contexts."""
    return "clock" if "clock" in record["final"] else "batches"


def result_of(record: Record, reading: str | None = None) -> Result:
    """What a run comes to.

    Args:
        record: Of one run.
        reading: One of `READINGS` that the record has; by default the method's own. The curve
            at 0° is of the method's own; others are measured once a turn, too seldom to tell
            what happens within one.
    """
    own = own_reading(record)
    reading = reading or own
    turn = last_turn(record) if reading == own else None
    circle = circle_of(record, reading)
    return Result(
        final=percent(record["final"][reading], record["final"]["images"]),
        lowest=min(turn) if turn else None,
        turn=mean(turn) if turn else None,
        circle=mean(circle),
        circle_lowest=min(circle),
    )


def percent(right: int, images: int) -> float:
    """How many of the images are right."""
    return 100 * right / images


def circle_of(record: Record, reading: str) -> list[float]:
    """Accuracy at every angle of the circle after the last step, by one reading, in percent."""
    if reading == own_reading(record):
        images, correct = record["circle"]["images"], record["circle"]["correct"]
    else:
        inferred = record["inferred_circle"]
        images, correct = inferred["images"], inferred[reading]["correct"]
    return [percent(right, images) for right in correct]


def clock_context(record: Record, degrees: float) -> int:
    """The context of the clock where the images stand so."""
    config = record["config"]
    step = round(degrees / 360 * config["period"]) % config["period"]
    context: int = step * config["contexts"] // config["period"]
    return context


def clock_beside_inferred(record: Record) -> float | None:
    """The mean over the circle by the clock, on the images for which contexts are inferred.

    The record has it of nets whose contexts were all tried at every angle; None of others.
    """
    reach = record["reach"]
    if len(reach["contexts"]) < record["config"]["contexts"]:
        return None
    found = [
        right[reach["contexts"].index(clock_context(record, degrees))]
        for degrees, right in zip(reach["degrees"], reach["correct"], strict=True)
    ]
    return percent(sum(found), reach["images"] * len(found))


def last_turn(record: Record) -> list[float]:
    """The curve at 0° over the last turn, in percent.

    Example:
        >>> from experiments._rotating_summary import last_turn
        >>> curve = {"images": 10, "steps": [10, 20, 30, 40], "correct": [1, 2, 3, 4]}
        >>> last_turn({"config": {"turns": 2, "period": 20}, "curve": curve})
        [30.0, 40.0]
    """
    return turns_of(record)[-1]


def turns_of(record: Record) -> list[list[float]]:
    """The curve at 0° in percent, turn by turn."""
    config, curve = record["config"], record["curve"]
    turns: list[list[float]] = [[] for _ in range(config["turns"])]
    for step, right in zip(curve["steps"], curve["correct"], strict=True):
        turns[(step - 1) // config["period"]].append(percent(right, curve["images"]))
    return turns


_TITLES = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "digits": "digits"}


def panels_of(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """The groups of runs by their images, and by the layers of their nets where they are many."""
    panels: dict[str, list[Group]] = {}
    for group in groups:
        layers = group["hidden_layers"] + 1
        deep = f", {layers} layers" if layers > 3 else ""
        panels.setdefault(f"{_TITLES[group['dataset']]}{deep}", []).append(group)
    return panels


def choice_of(group: Group) -> str:
    """How the contexts of a group of runs are chosen, in the paper's words."""
    if group["method"] == "standard":
        return "none"
    if group["choose"] != "clock":
        return f"{group['contexts']} by {group['choose']}"
    if group["contexts"] < group["period"]:
        return f"{group['contexts']} windows"
    return "fast, local mix" if group["method"] == "LocalMix" else "fast"


def table(groups: Sequence[Group]) -> str:
    """A Markdown table of runs of one recipe, a row for each group.

    Args:
        groups: From `groups_of`, in the order of the rows.
    """
    head = "images | layers | method | contexts | 0°, end (%) | 0°, last turn (%) | "
    head += "its lowest (%) | circle (%) | its lowest (%) | numbers stored | per added model | n"
    lines = [f"| {head} |", "|" + "---|" * 12]
    for group in groups:
        results = [result_of(record) for record in group.records]
        numbers = group.records[0]["numbers"]
        cells = [
            group["dataset"],
            str(group["hidden_layers"] + 1),
            group["method"],
            choice_of(group),
            spread([each.final for each in results]),
            spread([each.turn for each in results]),
            spread([each.lowest for each in results]),
            spread([each.circle for each in results]),
            spread([each.circle_lowest for each in results]),
            f"{numbers['total']:,}",
            f"{numbers['per_added_model']:,}",
            str(len(results)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def inferred_table(groups: Sequence[Group]) -> str:
    """A Markdown table of what is left without the clock, a row for each group that infers.

    Args:
        groups: From `groups_of`, in the order of the rows.
    """
    lines = [
        "| images | layers | method | contexts | 0°: clock (%) | batches (%) | samples (%) | "
        "circle: clock (%) | batches (%) | samples (%) | n |",
        "|" + "---|" * 11,
    ]
    for group in groups:
        if "inferred_circle" not in group.records[0]:
            continue
        cells = [
            group["dataset"],
            str(group["hidden_layers"] + 1),
            group["method"],
            choice_of(group),
        ]
        for place in ("final", "circle"):
            for reading in READINGS:
                cells.append(spread([_beside(each, reading, place) for each in group.records]))
        lines.append(f"| {' | '.join([*cells, str(len(group.records))])} |")
    return "\n".join(lines)


def _beside(record: Record, reading: str, place: str) -> float | None:
    """One number of `inferred_table`: all readings at a place are of the same images."""
    if reading not in record["final"]:
        return None
    if (place, reading) == ("circle", "clock"):
        return clock_beside_inferred(record)
    found: float = getattr(result_of(record, reading), place)
    return found


def report(records: Sequence[Record]) -> str:
    """What a grid of runs came to, for the terminal."""
    first = records[0]["config"]
    recipe = ", ".join(f"{name} {first[name]}" for name in ONE_RECIPE)
    complete = [each for each in records if each["status"] == "complete"]
    return "\n\n".join([recipe, table(groups_of(complete)), *diverged_lines(records)])
