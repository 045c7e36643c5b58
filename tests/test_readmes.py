"""What the READMEs show is run, and the tables in them are those of the committed records.

A block fenced as `python` is run; one fenced as `py` needs a network, minutes or a reader's own
code, and is shown alone.
"""

import re
from pathlib import Path

import pytest

from experiments._readme import filled

ROOT = Path(__file__).parents[1]
READMES = [ROOT / "README.md", *sorted((ROOT / "packages").glob("*/README.md"))]

TABLES = [
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
    ("speed-mnist", "speeds"),
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
    ("reliability", "tried"),
]
"""The record and the name of every table that the README shall have, in its order."""

BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


RUNNABLE = [readme for readme in READMES if BLOCK.search(readme.read_text())]


def test_there_are_examples_to_run():
    assert {"README.md", "packages/psp-contexts/README.md"} <= {
        str(readme.relative_to(ROOT)) for readme in RUNNABLE
    }


@pytest.mark.parametrize("readme", RUNNABLE, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_examples_of_a_readme_run(readme, capsys):
    blocks = BLOCK.findall(readme.read_text())
    names = {"__name__": "readme"}
    for block in blocks:
        exec(compile(block, str(readme), "exec"), names)


def test_the_tables_of_the_readme_are_those_of_the_records():
    text = (ROOT / "README.md").read_text()
    assert re.findall(r"^<!-- table: (\S+) (\S+) -->$", text, re.MULTILINE) == TABLES
    assert filled(text) == text, "run python -m experiments._readme"


def test_the_readme_names_files_that_exist():
    for readme in READMES:
        for target in re.findall(r"\]\(([^)#:]+)\)", readme.read_text()):
            assert (readme.parent / target).exists(), f"{readme} links to {target}"
