"""The paper's claims and open questions about rotating images, and the answers of records."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean

from experiments.runner.groups import Group, groups_of, markdown_table, percent, spread
from experiments.runner.record import Record
from experiments.studies.rotating.contexts import INFERRED
from experiments.studies.rotating.summary import (
    choice_of,
    circle_of,
    clock_beside_inferred,
    clock_context,
    last_turn,
    panels_of,
    turns_of,
)

SWING_TURNS = 10
"""Number of last turns over which the swing is averaged."""

OSCILLATION = 20.0
"""Smallest swing, in points, that counts as an oscillation."""


@dataclass(frozen=True)
class Claim:
    """A claim or an open question of the paper, and the answer.

    Attributes:
        text: The claim.
        measured: Mean ± standard deviation over the seeds, in percent or points.
        holds: Number of seeds in which the claim holds; empty for a question.
    """

    text: str
    measured: str
    holds: str


def swing(record: Record) -> float:
    """Return highest minus lowest point of the curve at 0° in a turn, averaged over the last turns.

    Example:
        >>> from experiments.studies.rotating.claims import swing
        >>> curve = {"images": 10, "steps": [10, 20, 30, 40], "correct": [1, 9, 3, 7]}
        >>> swing({"config": {"turns": 2, "period": 20}, "curve": curve})
        60.0
    """
    return mean(max(turn) - min(turn) for turn in turns_of(record)[-SWING_TURNS:])


BySeed = dict[int, Record]

WINDOWS = "10 windows"
"""The paper's choice of context."""


class _Runs:
    """The runs of one panel, by method and choice of context."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._groups = {(group["method"], choice_of(group)): group for group in groups}

    def __call__(self, method: str, choice: str = WINDOWS) -> BySeed:
        """Return the records by seed, empty if there are none."""
        group = self._groups.get((method, choice))
        return {record["config"]["seed"]: record for record in group.records} if group else {}

    @property
    def windows(self) -> list[str]:
        """Methods whose contexts are chosen by windows."""
        return [method for method, choice in self._groups if choice == WINDOWS]


def claims_of_forgetting(records: Sequence[Record]) -> list[Claim]:
    """Return the claims of figure 4, for every panel with records.

    Args:
        records: Records of one recipe.
    """
    panels = panels_of(groups_of(records)).items()
    return [claim for panel, groups in panels for claim in _forgetting(panel, _Runs(groups))]


def claims_of_contexts(records: Sequence[Record]) -> list[Claim]:
    """Return the claims and open questions of figure 5, as far as there are records.

    Args:
        records: Records of one recipe, one image set and one depth.
    """
    runs = _Runs(groups_of(records))
    windows = runs("Complex")
    inferred = [_inferred(windows, source) for source in INFERRED] if windows else []
    return [*_comparisons(runs), *inferred]


def claims_table(claims: Sequence[Claim]) -> str:
    """Return the claims as a Markdown table."""
    rows = [[claim.text, claim.measured, claim.holds] for claim in claims]
    return markdown_table(["the paper says", "measured", "holds in"], rows)


def _forgetting(panel: str, runs: _Runs) -> Iterator[Claim]:
    standard = runs("standard", "none")
    if not standard:
        return
    low = _spread(standard, lambda record: min(last_turn(record)))
    high = _spread(standard, lambda record: max(last_turn(record)))
    yield _claim(
        f"{panel}: the standard net oscillates with the turn.",
        f"swing within a turn {_spread(standard, swing)} points; in the last turn from {low} to "
        f"{high} %",
        [swing(record) > OSCILLATION for record in standard.values()],
    )
    for method in runs.windows:
        records = runs(method)
        yield _claim(
            f"{panel}: with {method} contexts it does not.",
            f"swing within a turn {_spread(records, swing)} points",
            [swing(record) < OSCILLATION / 2 for record in records.values()],
        )


def _comparisons(runs: _Runs) -> Iterator[Claim]:
    """Return the claims that one kind of run is better than another, if both have records."""
    standard, binary, windows = runs("standard", "none"), runs("Binary"), runs("Complex")
    fast, mixed = runs("Complex", "fast"), runs("LocalMix", "fast, local mix")
    better = "{} contexts do better than {} ones, as on permuted images."
    yield from _comparison(better.format("Rotation", "Complex"), runs("Rotation"), windows)
    yield from _comparison(better.format("Complex", "Binary"), windows, binary)
    yield from _comparison("*Fast* is better than the standard net.", fast, standard)
    yield from _comparison("*Fast* is worse than windows of 100 steps.", windows, fast)
    yield from _comparison("*Local mix* improves on *fast*.", mixed, fast)
    for method, fixed in (("Binary", binary), ("Complex", windows)):
        text = f"Open: do learned {method} contexts do better than fixed ones?"
        yield from _comparison(text, runs(f"Learned{method}"), fixed)
    for way in ("appearance", "confidence"):
        text = f"Open: do contexts selected by {way} do as well as the clock's?"
        yield from _comparison(text, runs("Complex", f"10 by {way}"), windows, slack=1.0)


def _claim(text: str, measured: str, holds: Sequence[bool]) -> Claim:
    return Claim(text, measured, f"{sum(holds)} of {len(holds)} seeds")


def _comparison(text: str, better: BySeed, worse: BySeed, slack: float = 0.0) -> Iterator[Claim]:
    """Compare the mean at 0° over the last turn, seed by seed; yield nothing without records."""

    def turn(record: Record) -> float:
        return mean(last_turn(record))

    shared_seeds = sorted(better.keys() & worse.keys())
    if shared_seeds:
        within = f", within {slack:g} point" if slack else ""
        against = f"{_spread(better, turn)} against {_spread(worse, turn)} %"
        yield _claim(
            text,
            f"0° over the last turn {against}{within}",
            [turn(better[seed]) - turn(worse[seed]) > -slack for seed in shared_seeds],
        )


def _inferred(windows: BySeed, source: str) -> Claim:
    """Compare inferred contexts with the clock's, for nets trained by the clock."""
    inferred = _spread(windows, lambda record: mean(circle_of(record, source)))
    right = _spread(windows, lambda record: inferred_correctly(record, source))
    return Claim(
        f"Open: learned by the clock, tested with contexts inferred for {source}?",
        f"circle: {inferred} against {_spread(windows, clock_beside_inferred)} % by the clock; "
        f"context right in {right} %",
        "",
    )


def inferred_correctly(record: Record, source: str) -> float:
    """Return how often the context inferred on the circle is the clock's, in percent."""
    circle = record["inferred_circle"]
    correct = sum(
        per_context[clock_context(record, degrees)]
        for degrees, per_context in zip(circle["degrees"], circle[source]["chosen"], strict=True)
    )
    return percent(correct, circle["images"] * len(circle["degrees"]))


def _spread(records: BySeed, value: Callable[[Record], float | None]) -> str:
    return spread([value(record) for record in records.values()], digits=1)
