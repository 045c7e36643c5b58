"""The paper's claims, figures and tables at a glance, judged by the committed records.

Every verdict follows a rule. A value is reproduced if our mean is within a tolerance of the
paper's. An inequality is reproduced if it holds in every seed. A claim without records is not run.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from experiments.runner.groups import Group, groups_of, markdown_table, spread
from experiments.runner.record import Record
from experiments.studies import load_study
from experiments.studies.incremental.summary import result_of as incremental_result
from experiments.studies.permuting.paper import FIGURE_2, TABLE, TABLE_RECIPE
from experiments.studies.permuting.summary import result_of as permuting_result
from experiments.studies.rotating.claims import claims_of_contexts, claims_of_forgetting

TABLE_TOLERANCE = 1.0
"""Points within which a value of the paper's table is reproduced."""

FIGURE_TOLERANCE = 2.0
"""Points within which a value read off a figure is reproduced."""

UNAFFECTED = 5.0
"""Largest drop, in points, that counts as *virtually unchanged*."""

SMALL_FIGURE_6 = "Figure 6 with 1/8 of the channels and 1/40 of the steps"
"""The part of claims that were tested below the paper's size."""

VERDICTS = ("reproduced", "differs", "not run")


@dataclass(frozen=True)
class Claim:
    """A claim of the paper and its verdict.

    Attributes:
        part: Figure, table or section of the paper.
        text: The claim.
        paper: Value in the paper, or its inequality.
        ours: Mean ± standard deviation over the seeds.
        n: Number of seeds.
        verdict: One of `VERDICTS`.
        source: Study and preset of the records, `study/preset`.
    """

    part: str
    text: str
    paper: str
    ours: str
    n: int
    verdict: str
    source: str


BySeed = dict[int, Record]
Runs = dict[tuple[str, int], BySeed]
"""Records by method and width, then by seed."""


def all_claims(results: Path) -> list[Claim]:
    """Judge every claim by the records in a folder."""
    return [
        *_table_1(_records("permuting/figure-3", results)),
        *_figure_2(_records("permuting/figure-2", results)),
        *_figure_3(_records("permuting/figure-3", results)),
        *_figure_3_table(_records("permuting/table", results)),
        *_rotating(results),
        *_figure_6("incremental/paper", "Figure 6", _records("incremental/paper", results)),
        *_figure_6("incremental/cpu", SMALL_FIGURE_6, _records("incremental/cpu", results)),
    ]


def claims_table(claims: Iterable[Claim]) -> str:
    """Format all claims, one row each."""
    heads = ["in the paper", "claim", "paper", "ours", "n", "verdict", "command"]
    rows = []
    for claim in claims:
        command = f"`experiments/{claim.source.replace('/', '.py ')}`"
        cells = [claim.part, claim.text, claim.paper, claim.ours, str(claim.n), claim.verdict]
        rows.append([*cells, command])
    return markdown_table(heads, rows)


def counts_table(claims: Iterable[Claim]) -> str:
    """Format the number of claims by part and verdict, with links from the root to the records."""
    verdicts: dict[tuple[str, str], Counter[str]] = {}
    for claim in claims:
        verdicts.setdefault((claim.part, claim.source), Counter())[claim.verdict] += 1
    rows = []
    for (part, source), counts in verdicts.items():
        study, _, preset = source.partition("/")
        links = f"[`{study}.py {preset}`](experiments/{study}.py)"
        records = f"[records](experiments/results/{study})"
        rows.append([part, *(str(counts[verdict]) for verdict in VERDICTS), records, links])
    return markdown_table(["in the paper", *VERDICTS, "records", "command"], rows)


TABLES = {"all": claims_table, "counts": counts_table}


def _records(source: str, results: Path) -> list[Record]:
    study, _, preset = source.partition("/")
    records: list[Record] = load_study(study).records_of(preset, results)[0]
    return records


def value_claim(
    part: str, text: str, paper: float, ours: Sequence[float], tolerance: float, source: str
) -> Claim:
    """Claim that our mean is within a tolerance of the paper's value, both in percent."""
    near = ours and abs(mean(ours) - paper) <= tolerance
    verdict = ("reproduced" if near else "differs") if ours else "not run"
    return Claim(part, text, f"{paper:.1f} %", f"{spread(ours)} %", len(ours), verdict, source)


def inequality_claim(
    part: str, text: str, paper: str, ours: str, holds: Sequence[bool], source: str
) -> Claim:
    """Claim an inequality, which holds in some of the seeds."""
    verdict = ("reproduced" if all(holds) else "differs") if holds else "not run"
    of = f"; in {sum(holds)} of {len(holds)} seeds" if holds else ""
    return Claim(part, text, paper, f"{ours}{of}" if holds else "–", len(holds), verdict, source)


def _comparison(
    part: str,
    text: str,
    runs: tuple[BySeed, BySeed],
    value: Callable[[Record], float],
    source: str,
) -> Claim:
    """Claim that the first runs have the larger value, seed by seed."""
    larger, smaller = runs
    seeds = sorted(larger.keys() & smaller.keys())
    first, second = ([value(records[seed]) for seed in seeds] for records in runs)
    holds = [a > b for a, b in zip(first, second, strict=True)]
    return inequality_claim(
        part, text, "larger", f"{spread(first)} against {spread(second)}", holds, source
    )


def _runs(groups: Iterable[Group]) -> Runs:
    return {
        (group["method"], group["width"]): {r["config"]["seed"]: r for r in group.records}
        for group in groups
    }


def _task_0(record: Record) -> float:
    return permuting_result(record).task_0


def _drops(records: Iterable[Record], task_0: Callable[[Record], float]) -> list[float]:
    """Return the points that the first task loses from its own training to the end."""
    return [
        100 * record["rows"]["correct"][0][0] / record["rows"]["images"] - task_0(record)
        for record in records
    ]


def _unaffected(part: str, text: str, drops: Sequence[float], source: str) -> Claim:
    """Claim that every drop is small."""
    paper, ours = f"drop ≤ {UNAFFECTED:g} points", f"{spread(drops)} points"
    holds = [drop <= UNAFFECTED for drop in drops]
    return inequality_claim(part, text, paper, ours, holds, source)


def _last_ten(record: Record) -> float:
    return permuting_result(record).last


def _table_1(records: Sequence[Record]) -> Iterator[Claim]:
    """Parameters per added model: the sum over layers of M² or M, or one for each layer."""
    runs = _runs(groups_of(records))
    dims = (784, 256, 256)
    expected = {
        "Rotation": ("M²", sum(dim * dim for dim in dims)),
        "Binary": ("M", sum(dims)),
        "Complex": ("M", sum(dims)),
        "OnePower": ("1", len(dims)),
    }
    for method, (formula, count) in expected.items():
        counts = [r["numbers"]["per_added_model"] for r in runs.get((method, 256), {}).values()]
        yield inequality_claim(
            "Table 1",
            f"{method}: per added model and layer {formula}, for 784–256–256–10 in all.",
            f"{count:,}",
            " ".join(f"{value:,}" for value in sorted(set(counts))),
            [value == count for value in counts],
            "permuting/figure-3",
        )


def _figure_2(records: Sequence[Record]) -> Iterator[Claim]:
    source, part = "permuting/figure-2", "Figure 2"
    runs = _runs(groups_of(records))
    for width, paper in FIGURE_2.items():
        binary, standard = runs.get(("Binary", width), {}), runs.get(("standard", width), {})
        text = f"{width} units: task 0 after 50 tasks, Binary."
        ours = [_task_0(record) for record in binary.values()]
        yield value_claim(part, text, paper, ours, FIGURE_TOLERANCE, source)
        text = f"{width} units: Binary forgets less than the standard net (task 0, %)."
        yield _comparison(part, text, (binary, standard), _task_0, source)
    drops = _drops(runs.get(("Binary", 2048), {}).values(), _task_0)
    text = "2048 units: task 0 is virtually unchanged after 49 further tasks."
    yield _unaffected(part, text, drops, source)


def _figure_3(records: Sequence[Record]) -> Iterator[Claim]:
    runs = _runs(groups_of(records))
    for better, worse in (("Rotation", "Complex"), ("Complex", "Binary"), ("Binary", "standard")):
        text = f"256 units: {better} keeps more of task 0 than {worse} (%)."
        pair = runs.get((better, 256), {}), runs.get((worse, 256), {})
        yield _comparison("Figure 3, left", text, pair, _task_0, "permuting/figure-3")


def _figure_3_table(records: Sequence[Record]) -> Iterator[Claim]:
    source, part = "permuting/table", "Figure 3, table"
    groups = [
        group
        for group in groups_of(records)
        if all(group[name] == value for name, value in TABLE_RECIPE.items())
    ]
    best: dict[str, list[float]] = {}
    for group in groups:  # of several strengths of a penalty, the one with the best mean
        ours = [_last_ten(record) for record in group.records]
        if mean(ours) > mean(best.get(group["method"], [0.0])):
            best[group["method"]] = ours
    for method, paper in TABLE.items():
        text = f"{method}: accuracy on the last ten of 50 tasks."
        yield value_claim(part, text, paper, best.get(method, []), TABLE_TOLERANCE, source)
    for method in ("Binary", "Complex", "OnePower"):
        rivals = [mean(best[name]) for name in ("EWC", "SI") if name in best]
        ours = best.get(method, []) if rivals else []
        yield inequality_claim(
            part,
            f"{method} outperforms EWC and SI.",
            "larger",
            f"{spread(ours)} against {max(rivals, default=0.0):.2f}",
            [value > max(rivals) for value in ours],
            source,
        )

    difference = [
        abs(a - b) for a, b in zip(best.get("Binary", []), best.get("Complex", []), strict=True)
    ]
    yield inequality_claim(
        part,
        "In large networks the difference between Binary and Complex is negligible.",
        f"≤ {TABLE_TOLERANCE:g} point",
        f"{spread(difference)} points",
        [value <= TABLE_TOLERANCE for value in difference],
        source,
    )


def _rotating(results: Path) -> Iterator[Claim]:
    for figure, judge in (("figure-4", claims_of_forgetting), ("figure-5", claims_of_contexts)):
        source = f"rotating/{figure}"
        records = _records(source, results)
        for claim in judge(records) if records else []:
            if claim.holds and not claim.text.startswith("Open") and "Signed" not in claim.text:
                holding, total = (int(word) for word in claim.holds.split() if word.isdigit())
                holds = [seed < holding for seed in range(total)]
                part = figure.replace("-", " ").capitalize()
                yield inequality_claim(part, claim.text, "yes", claim.measured, holds, source)


def _figure_6(source: str, part: str, records: Sequence[Record]) -> Iterator[Claim]:
    groups = [group for group in groups_of(records) if group["norms"] == "batch"]
    runs = {method: by_seed for (method, _), by_seed in _runs(groups).items()}

    def task_0(record: Record) -> float:
        return incremental_result(record).tasks[0]

    for better, worse in (("multi-head", "standard"), ("Binary", "multi-head")):
        pair = runs.get(better, {}), runs.get(worse, {})
        text = f"{better} keeps more of CIFAR-10 than {worse} (%)."
        yield _comparison(part, text, pair, task_0, source)
    drops = _drops(runs.get("Binary", {}).values(), task_0)
    yield _unaffected(part, "Binary is virtually unaffected by four further tasks.", drops, source)
