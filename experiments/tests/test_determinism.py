"""The same command gives the same record: twice, and in a pool of processes."""

import shlex
import subprocess
import sys

import pytest

from experiments.tests.small import COMMANDS, ROOT, results

pytestmark = pytest.mark.reliability


def run(name, out, jobs):
    command = [sys.executable, f"experiments/{name}.py", *shlex.split(COMMANDS[name])]
    subprocess.run(
        [*command, "--jobs", str(jobs), "--out", str(out)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return results(out)


@pytest.mark.parametrize("name", COMMANDS)
def test_twice_in_a_row_and_in_a_pool(name, tmp_path, request, record_property):
    if request.config.getoption("--hypothesis-profile") != "thorough":
        pytest.skip("test_kill is the quick form")
    first = run(name, tmp_path / "first", jobs=1)
    assert first
    assert run(name, tmp_path / "again", jobs=1) == first
    assert run(name, tmp_path / "pool", jobs=2) == first
    record_property(f"runs with the same record: {name}", 3)
