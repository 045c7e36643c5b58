"""The code of the README runs unchanged."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_the_code_of_the_readme_runs(block):
    names = {}
    exec(block, names)
    if "samples" in names:
        assert (names["samples"].shape, names["labels"].shape) == ((128, 64), (128,))
        assert names["stream"].context(1234) == 12
    if "picture" in names:
        assert names["picture"].ndim == 3


def test_the_readme_has_code():
    assert len(BLOCKS) == 2
