"""Generate the tables of the front page and the documentation from the committed records.

    python experiments/tables.py       # a test fails if this would change a page

A table stands between `<!-- table: RECORD NAME -->`, or `<!-- table: STUDY/PRESET NAME -->` for all
runs of a preset, or `<!-- table: claims NAME -->`, and `<!-- end -->`.
"""

import re
from pathlib import Path

from experiments import claims
from experiments.reliability import reliability_table
from experiments.runner.record import read_record
from experiments.studies import load_study

ROOT = Path(__file__).parents[1]

READMES = (
    ROOT / "README.md",
    ROOT / "docs" / "claims.md",
    ROOT / "docs" / "families.md",
    *sorted((ROOT / "docs").glob("results-*.md")),
)
"""The pages with tables."""

_BLOCK = re.compile(r"(<!-- table: (\S+) (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def fill_tables(text: str, results: Path = ROOT / "experiments" / "results") -> str:
    """Return the text with every marked table generated from its records.

    Args:
        text: Markdown.
        results: Folder of the records.

    Raises:
        FileNotFoundError: If a record is missing, or a preset has none.
        KeyError: If there is no table of that name.
    """

    def block(match: re.Match[str]) -> str:
        begin, source, name, end = match.groups()
        return f"{begin}\n{_table(source, name, results)}\n\n{end}"

    return _BLOCK.sub(block, text)


def _table(source: str, name: str, results: Path) -> str:
    if source == "claims":
        return claims.TABLES[name](claims.all_claims(results))
    study, _, preset = source.partition("/")
    if preset:
        table: str = load_study(study).table(name, preset, results)
        return table
    record = read_record(results / f"{source}.json")
    if record["experiment"] == "reliability":
        return reliability_table(record)
    table = load_study(record["experiment"]).tables[name](record)
    return table


if __name__ == "__main__":
    for readme in READMES:
        readme.write_text(fill_tables(readme.read_text()))
