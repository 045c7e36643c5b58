"""The tables of the README, generated from the committed records.

    python -m experiments._readme      # rewrites README.md; a test fails where it would change

A table stands between `<!-- table: RECORD NAME ARGUMENTS -->` and `<!-- end -->`.
"""

import re
from collections.abc import Callable
from pathlib import Path

from experiments import _capacity_summary as capacity
from experiments.runner import read_record
from experiments.runner.record import Record

ROOT = Path(__file__).parents[1]

TABLES: dict[str, Callable[[Record], str]] = {
    "networks-that-fit-1": lambda record: capacity.network_table(record, 1.0),
    "networks-that-fit-5": lambda record: capacity.network_table(record, 5.0),
    "accuracy": capacity.accuracy_table,
    "aligned-models-that-fit": capacity.aligned_table,
    "trained-layers": capacity.trained_table,
    "trained-layers-that-fit": capacity.layer_table,
    "seconds": lambda record: f"{record['seconds']:.0f} s",
}

_BLOCK = re.compile(r"(<!-- table: (\S+) (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str, results: Path = ROOT / "experiments" / "results") -> str:
    """The text with every marked table drawn anew from its record.

    Args:
        text: Markdown.
        results: The folder of the records.

    Raises:
        FileNotFoundError: If a record is missing.
        KeyError: If there is no table of that name.
    """

    def table(match: re.Match[str]) -> str:
        begin, record, name, end = match.groups()
        return f"{begin}\n{TABLES[name](read_record(results / f'{record}.json'))}\n\n{end}"

    return _BLOCK.sub(table, text)


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(filled(readme.read_text()))
