"""The tables of the READMEs, generated from the committed records.

    python -m experiments._readme      # rewrites them; a test fails where it would change one

A table stands between `<!-- table: RECORD NAME -->` and `<!-- end -->`, where it is of one record,
or `<!-- table: EXPERIMENT/PRESET NAME -->`, where it is of all runs of a preset.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments import _capacity_summary as capacity
from experiments import _incremental_summary as incremental
from experiments import _permuting_summary as permuting
from experiments import _rotating_summary as rotating
from experiments._presets import PRESETS, records_of
from experiments._reliability import reliability_table
from experiments._rotating_claims import claims_of_contexts, claims_of_forgetting, claims_table
from experiments._speed_summary import speed_table
from experiments.runner import read_record
from experiments.runner.groups import groups_of
from experiments.runner.record import Record

ROOT = Path(__file__).parents[1]

READMES = (ROOT / "README.md", ROOT / "experiments" / "README.md")
"""The ones with tables."""

TABLES: dict[str, Callable[[Record], str]] = {
    "networks-that-fit-1": lambda record: capacity.network_table(record, 1.0),
    "networks-that-fit-5": lambda record: capacity.network_table(record, 5.0),
    "accuracy": capacity.accuracy_table,
    "aligned-models-that-fit": capacity.aligned_table,
    "trained-layers": capacity.trained_table,
    "trained-layers-that-fit": capacity.layer_table,
    "tried": reliability_table,
    "speeds": speed_table,
    "seconds": lambda record: f"{record['seconds']:.0f} s",
}
"""Of one record, by their names."""

RUN_TABLES: dict[str, dict[str, Callable[[Sequence[Record]], str]]] = {
    "permuting": {
        "accuracy": lambda records: permuting.table(groups_of(records)),
        "beside-the-paper": lambda records: permuting.paper_table(groups_of(records)),
    },
    "rotating": {
        "accuracy": lambda records: rotating.table(groups_of(records)),
        "forgetting": lambda records: claims_table(claims_of_forgetting(records)),
        "contexts": lambda records: claims_table(claims_of_contexts(records)),
        "inferred": lambda records: rotating.inferred_table(groups_of(records)),
    },
    "incremental": {
        "accuracy": lambda records: incremental.table(groups_of(records)),
        "test-batches": lambda records: incremental.batch_table(groups_of(records)),
        "run-or-not": lambda records: incremental.table_of_runs(
            PRESETS["incremental"]["paper"].runs(), records
        ),
    },
}
"""Of the runs of an experiment's preset, by their names; `run-or-not` is of `paper` alone and needs
no record."""

_BLOCK = re.compile(r"(<!-- table: (\S+) (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str, results: Path = ROOT / "experiments" / "results") -> str:
    """The text with every marked table drawn anew from its records.

    Args:
        text: Markdown.
        results: The folder of the records.

    Raises:
        FileNotFoundError: If a record is missing, or there is none of a preset.
        KeyError: If there is no table of that name.
    """

    def block(match: re.Match[str]) -> str:
        begin, source, name, end = match.groups()
        return f"{begin}\n{_table(source, name, results)}\n\n{end}"

    return _BLOCK.sub(block, text)


def _table(source: str, name: str, results: Path) -> str:
    if "/" not in source:
        return TABLES[name](read_record(results / f"{source}.json"))
    experiment, preset = source.split("/")
    records, _ = records_of(experiment, preset, results)
    if not records and name != "run-or-not":
        raise FileNotFoundError(f"{results / experiment} has no record of the preset {preset}.")
    return RUN_TABLES[experiment][name](records)


if __name__ == "__main__":
    for readme in READMES:
        readme.write_text(filled(readme.read_text()))
