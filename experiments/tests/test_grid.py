"""Grids: their order, stopping, resuming, and sharing the work."""

import multiprocessing
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from experiments.runner.files import DamagedFile
from experiments.runner.grid import run_grid
from experiments.runner.settings import GridSettings
from experiments.runner.stopping import Stopped, listening, stop_if_requested, stop_requested

pytestmark = pytest.mark.reliability


@dataclass(frozen=True)
class Cell:
    number: int
    file: Path | None = None

    @property
    def name(self):
        return f"cell{self.number}"

    def cost(self):
        return abs(self.number)


def ten_times(cell):
    return {"value": 10 * cell.number}


def grid(function, numbers, folder, jobs=1, file=None):
    cells = [Cell(number, file) for number in numbers]
    results = run_grid(function, cells, GridSettings(jobs=jobs), title="test", folder=folder)
    return [result["value"] for result in results]


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_the_order_of_the_cells(jobs, tmp_path):
    assert grid(ten_times, [-3, 1, -2], tmp_path, jobs) == [-30, 10, -20]
    assert {path.name for path in tmp_path.iterdir()} == {f"cell{c}.json" for c in (-3, 1, -2)}


def test_files_of_a_process_killed_after_its_result_are_removed(tmp_path):
    grid(ten_times, [1], tmp_path)
    for suffix in (".checkpoint", ".progress", ".lock"):
        (tmp_path / f"cell1{suffix}").touch()
    assert grid(ten_times, [1], tmp_path) == [10]
    assert [path.name for path in tmp_path.iterdir()] == ["cell1.json"]


def test_an_interrupted_grid_continues(tmp_path):
    calls = []

    def flaky(cell):
        calls.append(cell.number)
        if cell.number == 1 and calls.count(1) == 1:
            raise RuntimeError
        return ten_times(cell)

    with pytest.raises(RuntimeError):
        grid(flaky, [1, 3, 2], tmp_path)
    assert grid(flaky, [1, 3, 2], tmp_path) == [10, 30, 20]
    assert calls == [3, 2, 1, 1]


def until_stopped(cell):
    if cell.number == 0:
        return ten_times(cell)
    cell.file.touch()
    while True:
        stop_if_requested()
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("number", "jobs"), [(signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGTERM, 2)]
)
def test_a_signal_stops_a_grid_and_says_how_to_continue(number, jobs, tmp_path):
    started = tmp_path / "started"
    before = signal.getsignal(number)
    other = multiprocessing.Process(target=signal_when, args=(started, os.getpid(), number))
    other.start()
    with pytest.raises(Stopped, match=r"stopped: . of 3 runs are done, .* give the same command"):
        grid(until_stopped, [0, 1, 2], tmp_path / "parts", jobs, started)
    other.join()
    assert signal.getsignal(number) is before
    assert not stop_requested()
    assert grid(ten_times, [0, 1, 2], tmp_path / "parts", jobs) == [0, 10, 20]


def signal_when(started, pid, number):
    while not started.exists():
        time.sleep(0.01)
    os.kill(pid, number)


def test_a_second_signal_does_not_wait(tmp_path):
    with listening(tmp_path / "stop"):
        os.kill(os.getpid(), signal.SIGINT)
        assert stop_requested()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert not stop_requested()


def slowly(cell):
    with cell.file.open("a") as file:
        file.write(f"{cell.number}\n")
    time.sleep(0.3)
    return ten_times(cell)


def test_two_grids_in_one_folder_share_the_work(tmp_path):
    arguments = (slowly, [1, 2, 3], tmp_path / "parts", 1, tmp_path / "calls")
    other = multiprocessing.Process(target=grid, args=arguments)
    other.start()
    assert grid(*arguments) == [10, 20, 30]
    other.join()
    assert other.exitcode == 0
    assert sorted((tmp_path / "calls").read_text().split()) == ["1", "2", "3"]


def test_a_killed_process_frees_the_lock_of_its_cell(tmp_path):
    parts, started = tmp_path / "parts", tmp_path / "started"
    other = multiprocessing.Process(target=grid, args=(until_stopped, [1], parts, 1, started))
    other.start()
    while not started.exists():
        time.sleep(0.01)
    other.kill()
    other.join()
    (parts / ".cell1.json.123.part").touch()  # the remains of a killed write
    assert grid(ten_times, [1], parts) == [10]
    assert [path.name for path in parts.iterdir()] == ["cell1.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="orphans keep their parent there")
def test_a_worker_stops_when_its_parent_is_gone(tmp_path):
    parts, started = tmp_path / "parts", tmp_path / "started"
    context = multiprocessing.get_context("spawn")  # with its own pool
    other = context.Process(target=grid, args=(until_stopped, [1], parts, 2, started))
    other.start()
    while not started.exists():
        time.sleep(0.01)
    other.kill()
    other.join()
    assert grid(ten_times, [1], parts) == [10]  # the lock is free


def test_a_damaged_result_is_named_and_kept(tmp_path):
    grid(ten_times, [1, 2], tmp_path)
    path = tmp_path / "cell2.json"
    path.write_text(path.read_text().replace("20", "21"))
    with pytest.raises(DamagedFile, match=r"cell2\.json has changed since it was written"):
        grid(ten_times, [1, 2], tmp_path)
    assert "21" in path.read_text()
