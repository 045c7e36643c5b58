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
import traceback

import pytest

from experiments.runner import files
from experiments.studies import load_study
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
    load_study(name)  # imported before the forks, which then start at once
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


class ByClock:
    def __init__(self, number, seconds):
        self.number = number
        self.seconds = seconds


class InWrite:
    """A moment in the n-th durable write, after a part of its bytes or all of them."""

    def __init__(self, number, place, share):
        self.number = number
        self.place = place
        self.share = share

    def arm(self):
        fsync, writes = os.fsync, iter(range(10**9))

        def kill_at(descriptor):
            if next(writes) == self.place:
                if self.share < 1 and self.number == signal.SIGKILL:
                    os.ftruncate(descriptor, int(self.share * os.fstat(descriptor).st_size))
                os.kill(os.getpid(), self.number)
            fsync(descriptor)

        files.os.fsync = kill_at


def draw_moment(draw, number, usual_time):
    if draw.random() < 0.5:
        return InWrite(number, draw.randrange(12), draw.choice((0.0, 0.5, 1.0)))
    return ByClock(number, draw.uniform(0, usual_time))


def attempt(name, out, moment=None):
    """Run the command in a child that is killed at a moment; return its exit status."""
    out.mkdir(parents=True, exist_ok=True)
    child = os.fork()
    if not child:
        run_in_child(name, out, moment)
    if isinstance(moment, ByClock):
        time.sleep(moment.seconds)
        os.kill(child, moment.number)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run_in_child(name, out, moment):
    status = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        sys.stdout = sys.stderr = (out / "log").open("w", buffering=1)
        if isinstance(moment, InWrite):
            moment.arm()
        load_study(name).main(arguments=[*COMMANDS[name].split(), "--out", str(out)])
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # a child must not continue the parent's tests
        traceback.print_exc()
    finally:
        os._exit(status)


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
