"""What the READMEs show is run, and the tables in them are those of the committed records."""

import re
from pathlib import Path

import pytest

from experiments._readme import filled

ROOT = Path(__file__).parents[1]
READMES = [ROOT / "README.md", *sorted((ROOT / "packages").glob("*/README.md"))]

BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_examples_of_a_readme_run(readme, capsys):
    blocks = BLOCK.findall(readme.read_text())
    assert blocks
    names = {"__name__": "readme"}
    for block in blocks:
        exec(compile(block, str(readme), "exec"), names)


def test_the_tables_of_the_readme_are_those_of_the_records():
    text = (ROOT / "README.md").read_text()
    assert filled(text) == text, "run python -m experiments._readme"


def test_the_readme_names_files_that_exist():
    for readme in READMES:
        for target in re.findall(r"\]\(([^)#:]+)\)", readme.read_text()):
            assert (readme.parent / target).exists(), f"{readme} links to {target}"
