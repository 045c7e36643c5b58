"""The scripts of examples/ run; they check their own results."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))

LONG = {"gpt2_languages", "resnet_base"}
"""Examples of more than a minute; `nox -s examples` runs them."""

NEEDS = {"onnx_export": ("onnx", "onnxscript", "onnxruntime")}
"""Packages beyond the test environment."""


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.stem)
def test_an_example_runs(script):
    if script.stem in LONG:
        pytest.skip("long: run by nox -s examples")
    for package in NEEDS.get(script.stem, ()):
        pytest.importorskip(package)
    runpy.run_path(str(script), run_name="__main__")


def test_the_lists_name_examples():
    assert LONG | NEEDS.keys() <= {script.stem for script in EXAMPLES}
