"""What the paper says of turning images, in words, and what the records say of it, in numbers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean

from experiments._rotating_reading import INFERRED
from experiments._rotating_summary import (
    choice_of,
    circle_of,
    clock_beside_inferred,
    clock_context,
    last_turn,
    panels_of,
    turns_of,
)
from experiments.runner.groups import Group, groups_of, spread
from experiments.runner.record import Record

LAST = 10
"""Over how many of the last turns a swing is averaged."""

OSCILLATES = 20.0
"""A swing of more points than that is an oscillation."""


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper's, or a question that it leaves open, and the answer.

    Attributes:
        text: The sentence.
        measured: In percent or points, mean ± standard deviation over the seeds.
        holds: In how many of how many seeds; empty for a question.
    """

    text: str
    measured: str
    holds: str


def swing(record: Record) -> float:
    """Highest minus lowest point of the curve at 0° within a turn, the mean of the last turns.

    Example:
        >>> from experiments._rotating_claims import swing
        >>> curve = {"images": 10, "steps": [10, 20, 30, 40], "correct": [1, 9, 3, 7]}
        >>> swing({"config": {"turns": 2, "period": 20}, "curve": curve})
        60.0
    """
    return mean(max(turn) - min(turn) for turn in turns_of(record)[-LAST:])


BySeed = dict[int, Record]


class _Runs:
    """The runs of one panel, by method and choice of context."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._groups = {(group["method"], choice_of(group)): group for group in groups}

    def __call__(self, method: str, choice: str = "10 windows") -> BySeed:
        """None, if there are no such."""
        group = self._groups.get((method, choice))
        return {each["config"]["seed"]: each for each in group.records} if group else {}

    @property
    def windows(self) -> list[str]:
        """The methods with contexts by windows."""
        return [method for method, choice in self._groups if choice == "10 windows"]


def claims_of_forgetting(records: Sequence[Record]) -> list[Claim]:
    """What the paper says with figure 4, on every panel of it that there are records for.

    Args:
        records: Of one recipe.
    """
    panels = panels_of(groups_of(records)).items()
    return [claim for panel, groups in panels for claim in _of_forgetting(panel, _Runs(groups))]


def claims_of_contexts(records: Sequence[Record]) -> list[Claim]:
    """What the paper says with figure 5, and what it leaves open, as far as there are records.

    Args:
        records: Of one recipe, of one set of images and one depth.
    """
    runs = _Runs(groups_of(records))
    return [*_of_families(runs), *_of_choosing(runs), *_open_in_the_paper(runs)]


def _of_forgetting(panel: str, runs: _Runs) -> Iterator[Claim]:
    standard = runs("standard", "none")
    if standard:
        yield _claim(
            f"{panel}: the standard net oscillates with the turn.",
            f"swing within a turn {_spread(standard, swing)} points; in the last turn from "
            f"{_spread(standard, lambda each: min(last_turn(each)))} to "
            f"{_spread(standard, lambda each: max(last_turn(each)))} %",
            [swing(each) > OSCILLATES for each in standard.values()],
        )
    for method in runs.windows if standard else ():
        own = runs(method)
        yield _claim(
            f"{panel}: with {method} contexts it does not.",
            f"swing within a turn {_spread(own, swing)} points",
            [swing(each) < OSCILLATES / 2 for each in own.values()],
        )


def _of_families(runs: _Runs) -> Iterator[Claim]:
    order = [name for name in ("Rotation", "Complex", "Binary") if runs(name)]
    for better, worse in pairwise(order):
        text = f"{better} contexts do better than {worse} ones, as on permuted images."
        yield from _above(text, runs(better), runs(worse))


def _of_choosing(runs: _Runs) -> Iterator[Claim]:
    fast, mixed = runs("Complex", "fast"), runs("LocalMix", "fast, local mix")
    yield from _above("*Fast* is better than the standard net.", fast, runs("standard", "none"))
    yield from _above("*Fast* is worse than windows of 100 steps.", runs("Complex"), fast)
    yield from _above("*Local mix* improves on *fast*.", mixed, fast)


def _open_in_the_paper(runs: _Runs) -> Iterator[Claim]:
    for method in ("Binary", "Complex"):
        text = f"Open: do learned {method} contexts do better than fixed ones?"
        yield from _above(text, runs(f"Learned{method}"), runs(method))
    for choose in ("appearance", "confidence"):
        text = f"Open: do contexts that the images choose by {choose} do as well as the clock's?"
        yield from _above(text, runs("Complex", f"10 by {choose}"), runs("Complex"), slack=1.0)
    for reading in INFERRED if runs("Complex") else ():
        yield _inferred(runs("Complex"), reading)


def claims_table(claims: Sequence[Claim]) -> str:
    """The claims as a Markdown table."""
    lines = ["| the paper says | measured | holds in |", "|---|---|---|"]
    lines += [f"| {each.text} | {each.measured} | {each.holds} |" for each in claims]
    return "\n".join(lines)


def _claim(text: str, measured: str, holds: Sequence[bool]) -> Claim:
    return Claim(text, measured, f"{sum(holds)} of {len(holds)} seeds")


def _above(text: str, better: BySeed, worse: BySeed, slack: float = 0.0) -> Iterator[Claim]:
    """That the mean at 0° over the last turn is higher, seed by seed; nothing without records."""

    def turn(record: Record) -> float:
        return mean(last_turn(record))

    both = sorted(better.keys() & worse.keys())
    if both:
        within = f", within {slack:g} point" if slack else ""
        against = f"{_spread(better, turn)} against {_spread(worse, turn)} %"
        yield _claim(
            text,
            f"0° over the last turn {against}{within}",
            [turn(better[seed]) - turn(worse[seed]) > -slack for seed in both],
        )


def _inferred(windows: BySeed, reading: str) -> Claim:
    """What a net that learned by the clock loses when its contexts are inferred in the test."""

    def inferred(record: Record) -> float:
        return mean(circle_of(record, reading))

    return Claim(
        f"Open: learned by the clock, tested with contexts inferred for {reading}?",
        f"circle: {_spread(windows, inferred)} against "
        f"{_spread(windows, clock_beside_inferred)} % by the clock; context right in "
        f"{_spread(windows, lambda each: hits(each, reading))} %",
        "",
    )


def hits(record: Record, reading: str) -> float:
    """How often the context inferred for images on the circle is the clock's, in percent."""
    circle = record["inferred_circle"]
    right: int = 0
    for degrees, chosen in zip(circle["degrees"], circle[reading]["chosen"], strict=True):
        right += chosen[clock_context(record, degrees)]
    asked: int = circle["images"] * len(circle["degrees"])
    return 100 * right / asked


def _spread(records: BySeed, value: Callable[[Record], float | None]) -> str:
    return spread([value(record) for record in records.values()], digits=1)
