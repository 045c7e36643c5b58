"""EWC and SI in the protocols of the papers that report them, with Binary beside them."""

from collections.abc import Sequence
from typing import Any

from experiments.methods.method import named
from experiments.runner.groups import groups_of, markdown_table, method_of, spread
from experiments.runner.record import Record
from experiments.runner.run import sweep
from experiments.studies.permuting.run import PermutingRun
from experiments.studies.permuting.summary import results_of

_SHARED: dict[str, Any] = {
    "dataset": "mnist",
    "tasks": 10,
    "batch": 256,
    "hidden_layers": 2,
    "optimiser": "Adam",
    "pixels": "unit",
    "padding": 0,
    "precision": "bfloat16",
}

PROTOCOLS: dict[str, dict[str, Any]] = {
    "Zenke et al. 2017": {**_SHARED, "width": 2000, "steps": 4688, "learning_rate": 1e-3},
    "van de Ven, Tolias 2019": {
        **_SHARED,
        "width": 1000,
        "steps": 5000,
        "learning_rate": 1e-4,
        "padding": 2,
    },
}
"""Shared values of the runs of a protocol. Zenke et al. train 20 epochs of 60,000 images a task;
van de Ven and Tolias pad the images to 32 × 32. In both, Adam keeps its state between tasks, and
the first task is not permuted. Initial weights are ours."""

PUBLISHED = {
    ("Zenke et al. 2017", "EWC"): 97.0,
    ("Zenke et al. 2017", "SI"): 97.2,
    ("van de Ven, Tolias 2019", "EWC"): 94.3,
    ("van de Ven, Tolias 2019", "SI"): 95.3,
}
"""Mean accuracy on all ten tasks, in percent; the second paper's without task identities."""

STRENGTHS = {
    ("Zenke et al. 2017", "EWC"): 100.0,  # quoted there without a strength: `published-search`
    ("Zenke et al. 2017", "SI"): 0.1,
    ("van de Ven, Tolias 2019", "EWC"): 100.0,
    ("van de Ven, Tolias 2019", "SI"): 10.0,
}
"""λ of EWC and c of SI: Zenke et al. give c; the others are the defaults of the code that van de
Ven et al. published in 2022 for this scenario, with a Fisher information from 1000 images."""

HEADS = ("protocol", "method", "all (%)", "published (%)", "n")


def published() -> tuple[PermutingRun, ...]:
    """Return the runs of every protocol."""
    runs: list[PermutingRun] = []
    for name, protocol in PROTOCOLS.items():
        runs += sweep(PermutingRun, method=named("standard", "Binary"), **protocol)
        for method in named("EWC", "SI"):
            strength = STRENGTHS[name, str(method)]
            runs += sweep(PermutingRun, method=method, strength=strength, **protocol)
    return tuple(runs)


def published_search() -> tuple[PermutingRun, ...]:
    """Return runs for the strength that no paper gives, with a seed that is not in the table."""
    return sweep(
        PermutingRun,
        method=named("EWC"),
        strength=(10.0, 100.0, 1000.0),
        seed=100,
        **PROTOCOLS["Zenke et al. 2017"],
    )


def published_table(records: Sequence[Record]) -> str:
    """Format a Markdown table of the runs beside what was published."""
    rows = []
    for group in groups_of(records):
        shown = [n for n, p in PROTOCOLS.items() if p.items() <= group.config.items()]
        for protocol in shown:
            value = PUBLISHED.get((protocol, group["method"]))
            rows.append(
                [
                    protocol,
                    method_of(group),
                    spread([result.all for result in results_of(group)]),
                    "" if value is None else f"{value:.1f}",
                    str(len(group.records)),
                ]
            )
    return markdown_table(HEADS, rows)
