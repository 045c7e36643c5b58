"""A study that is killed at any moment and started again ends with the same record.

The moments are random: some by the clock, some inside the n-th write of a file (a checkpoint, a
record, a cell of a grid), after some of its bytes or before it replaces the old one.
"""

import os
import random
import shlex
import signal
import subprocess
import sys
import time

import pytest

from experiments.tests.killed import ByClock, InWrite, attempt, start_server
from experiments.tests.small import COMMANDS, ROOT, results

pytestmark = [
    pytest.mark.reliability,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked"),
]

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


@pytest.fixture(scope="module")
def kills(request):
    """Number of kills for each study."""
    return 50 if request.config.getoption("--hypothesis-profile") == "thorough" else 3


@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_experiment_ends_with_the_same_record(name, kills, tmp_path, record_property):
    start_server()
    start = time.monotonic()
    assert attempt(name, tmp_path / "undisturbed") == 0
    usual_time = time.monotonic() - start
    undisturbed = results(tmp_path / "undisturbed")
    assert undisturbed
    draw = random.Random(f"kill {name}")
    killed, rounds, inside = 0, 0, 0
    while killed < kills:
        rounds += 1
        out = tmp_path / f"round{rounds}"
        for _ in range(100):
            number = draw.choice(SIGNALS)
            moment = draw_moment(draw, number, usual_time)
            status = attempt(name, out, moment)
            if status == 0:
                break
            killed += 1
            inside += isinstance(moment, InWrite)
            # Before the grid listens, and while figures are drawn, a signal ends the process.
            allowed = {-number, 128 + number}
            assert status in allowed, (out / "log").read_text()
            if status == 128 + number and number == signal.SIGTERM:
                assert "give the same command again to continue" in (out / "log").read_text()
        assert attempt(name, out) == 0
        assert results(out) == undisturbed
        left = [path.name for path in out.rglob("*") if path.suffix in (".checkpoint", ".lock")]
        assert not left
    record_property(f"moments killed: {name}", killed)
    record_property(f"moments killed inside a write: {name}", inside)


def draw_moment(draw, number, usual_time):
    if draw.random() < 0.5:
        return InWrite(number, draw.randrange(12), draw.choice((0.0, 0.5, 1.0)))
    return ByClock(number, draw.uniform(0, usual_time))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_gives_the_same_record_twice_and_in_a_pool(
    name, tmp_path, request, record_property
):
    if request.config.getoption("--hypothesis-profile") != "thorough":
        pytest.skip("the kills above are the quick form")

    def run(folder, jobs):
        command = [sys.executable, f"experiments/{name}.py", *shlex.split(COMMANDS[name])]
        command += ["--jobs", str(jobs), "--out", str(tmp_path / folder)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        return results(tmp_path / folder)

    first = run("first", jobs=1)
    assert first
    assert run("again", jobs=1) == run("pool", jobs=2) == first
    record_property(f"runs with the same record: {name}", 3)
