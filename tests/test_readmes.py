"""The examples of the READMEs and the documentation run; their tables match the records.

Blocks fenced as `python` are run. Blocks fenced as `py` need a network, several minutes or the
reader's own code, and are not run.
"""

import re
from pathlib import Path

import pytest

from experiments.tables import READMES as WITH_TABLES
from experiments.tables import fill_tables as filled

ROOT = Path(__file__).parents[1]
PAGES = [page for page in sorted((ROOT / "docs").glob("*.md")) if page not in WITH_TABLES]
READMES = [
    *WITH_TABLES,
    ROOT / "experiments" / "README.md",
    ROOT / "analysis" / "README.md",
    *sorted((ROOT / "packages").glob("*/README.md")),
    *PAGES,
]

TABLES = {
    "README.md": [
        ("capacity-digits", "networks-that-fit-5"),
        ("claims", "counts"),
    ],
    "docs/results-capacity.md": [
        ("capacity-digits", "networks-that-fit-5"),
        ("capacity-digits", "networks-that-fit-1"),
        ("capacity-digits", "accuracy"),
        ("capacity-ten-seeds", "networks-that-fit-5"),
        ("capacity-ten-seeds", "networks-that-fit-1"),
        ("permuting/table", "margin-law"),
        ("capacity-digits", "aligned-models-that-fit"),
        ("capacity-digits", "trained-layers-that-fit"),
        ("capacity-digits", "trained-layers"),
        ("capacity-mnist", "networks-that-fit-1"),
        ("capacity-mnist", "networks-that-fit-5"),
        ("capacity-mnist", "accuracy"),
    ],
    "docs/results-incremental.md": [
        ("incremental/paper", "run-or-not"),
        ("incremental/cpu", "accuracy"),
        ("incremental/cpu", "test-batches"),
        ("incremental/cpu", "statistics"),
        ("incremental/base", "accuracy"),
        ("incremental/base", "statistics"),
        ("incremental/medium", "accuracy"),
        ("incremental/split-cifar100", "accuracy"),
    ],
    "docs/results-permuting.md": [
        ("permuting/figure-2", "accuracy"),
        ("permuting/table", "accuracy"),
        ("permuting/search", "accuracy"),
        ("permuting/ten-tasks", "accuracy"),
    ],
    "docs/results-price.md": [
        ("permuting/price-digits", "price"),
        ("permuting/price-digits-search", "learning-rates"),
    ],
    "docs/results-reliability.md": [
        ("reliability", "tried"),
    ],
    "docs/results-rotating.md": [
        ("rotating/figure-4", "accuracy"),
        ("rotating/figure-4", "forgetting"),
        ("rotating/figure-4", "inferred"),
        ("rotating/figure-5", "accuracy"),
        ("rotating/figure-5", "contexts"),
        ("rotating/figure-5", "inferred"),
    ],
    "docs/results-speed.md": [
        ("speed-mnist", "speeds"),
    ],
    "docs/claims.md": [("claims", "all")],
    "docs/families.md": [("capacity-digits", "networks-that-fit-5")],
}
"""The record and the name of every table of each README, in order."""

LINK = re.compile(r"\[`?([^\]`]*)`?\]\(([^)#:]*)(?:#([^)]+))?\)")
"""The text, the file and the anchor of a link."""

BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def name_of(readme):
    return str(readme.relative_to(ROOT))


RUNNABLE = [readme for readme in READMES if BLOCK.search(readme.read_text())]


def test_examples_are_found():
    assert {"README.md", "packages/psp-contexts/README.md"} <= {
        name_of(readme) for readme in RUNNABLE
    }


@pytest.mark.parametrize("readme", RUNNABLE, ids=name_of)
def test_the_examples_of_a_readme_run(readme, capsys):
    blocks = BLOCK.findall(readme.read_text())
    names = {"__name__": "readme"}
    for block in blocks:
        exec(compile(block, str(readme), "exec"), names)


@pytest.mark.parametrize("readme", WITH_TABLES, ids=name_of)
def test_the_tables_of_a_readme_match_the_records(readme):
    text = readme.read_text()
    tables = re.findall(r"^<!-- table: (\S+) (\S+) -->$", text, re.MULTILINE)
    assert tables == TABLES[name_of(readme)]
    assert filled(text) == text, "run python experiments/tables.py"


def anchors_of(readme):
    """Return the anchors of the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", readme.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("readme", READMES, ids=name_of)
def test_the_links_of_a_readme_have_a_target(readme):
    for name, file, anchor in LINK.findall(readme.read_text()):
        target = readme.parent / file if file else readme
        assert target.exists(), f"broken link to {file}"
        if file.endswith(".py") and name.isidentifier():
            assert re.search(rf"^def {name}\(", target.read_text(), re.MULTILINE), f"no {name}"
        assert not anchor or anchor in anchors_of(target), f"broken link to {file}#{anchor}"
