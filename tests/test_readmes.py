"""What the READMEs show is run, and the tables in them are those of the committed records.

A block fenced as `python` is run; one fenced as `py` needs a network, minutes or a reader's own
code, and is shown alone.
"""

import re
from pathlib import Path

import pytest

from experiments.tables import READMES as WITH_TABLES
from experiments.tables import fill_tables as filled

ROOT = Path(__file__).parents[1]
READMES = [*WITH_TABLES, *sorted((ROOT / "packages").glob("*/README.md"))]

TABLES = {
    "README.md": [
        ("capacity-digits", "networks-that-fit-5"),
        ("permuting/table", "beside-the-paper"),
    ],
    "experiments/README.md": [
        ("capacity-digits", "networks-that-fit-5"),
        ("capacity-digits", "networks-that-fit-1"),
        ("capacity-digits", "accuracy"),
        ("capacity-digits", "aligned-models-that-fit"),
        ("capacity-digits", "trained-layers-that-fit"),
        ("capacity-digits", "trained-layers"),
        ("capacity-mnist", "networks-that-fit-1"),
        ("capacity-mnist", "networks-that-fit-5"),
        ("capacity-mnist", "accuracy"),
        ("permuting/figure-2", "accuracy"),
        ("permuting/table", "accuracy"),
        ("permuting/search", "accuracy"),
        ("permuting/ten-tasks", "accuracy"),
        ("rotating/figure-4", "accuracy"),
        ("rotating/figure-4", "forgetting"),
        ("rotating/figure-4", "inferred"),
        ("rotating/figure-5", "accuracy"),
        ("rotating/figure-5", "contexts"),
        ("rotating/figure-5", "inferred"),
        ("incremental/paper", "run-or-not"),
        ("incremental/cpu", "accuracy"),
        ("incremental/cpu", "test-batches"),
        ("incremental/split-cifar100", "accuracy"),
        ("speed-mnist", "speeds"),
        ("reliability", "tried"),
    ],
}
"""The record and the name of every table that a README shall have, in its order."""

BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def name_of(readme):
    return str(readme.relative_to(ROOT))


RUNNABLE = [readme for readme in READMES if BLOCK.search(readme.read_text())]


def test_there_are_examples_to_run():
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
def test_the_tables_of_a_readme_are_those_of_the_records(readme):
    text = readme.read_text()
    found = re.findall(r"^<!-- table: (\S+) (\S+) -->$", text, re.MULTILINE)
    assert found == TABLES[name_of(readme)]
    assert filled(text) == text, "run python experiments/tables.py"


def anchors_of(readme):
    """What the headings of a page are linked by."""
    headings = re.findall(r"^#+ (.+)$", readme.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("readme", READMES, ids=name_of)
def test_a_readme_links_to_what_is_there(readme):
    for file, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", readme.read_text()):
        target = readme.parent / file if file else readme
        assert target.exists(), f"it links to {file}"
        assert not anchor or anchor in anchors_of(target), f"it links to {file}#{anchor}"
