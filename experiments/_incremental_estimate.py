"""How long runs will take, from a few steps of each kind."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from experiments._incremental_memory import expected_memory, gigabytes
from experiments._incremental_run import Run, learner_of, measurement_of
from experiments._incremental_tasks import SETS, stream_of
from experiments.runner import load_images, read_progress
from psp_data import IncrementalStream

WARM_UP, TIMED = 2, 3
"""How many steps are taken before time is, and how many after."""


def expected_seconds(run: Run, device: torch.device) -> float:
    """How long a run will take, from a few of its steps and a test batch.

    What EWC does between tasks is left out.

    Args:
        run: Nothing is trained that it will use.
        device: Where it will be made.
    """
    stream = _stream(run, device)
    learner = learner_of(run, stream, device)
    measurement = measurement_of(run, learner, stream)
    learner.net.train()

    def step(index: int) -> None:
        learner.step(*stream.train_batch(index % stream.num_steps))

    def test(index: int) -> None:
        measurement.count(0, run.test_batch)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as every run of a grid
    try:
        training = stream.num_steps * _median_seconds(step, device)
        return training + measurement.tested / run.test_batch * _median_seconds(test, device)
    finally:
        torch.set_num_threads(threads)


def _median_seconds(function: Callable[[int], None], device: torch.device) -> float:
    seconds = []
    for index in range(WARM_UP + TIMED):
        start = time.perf_counter()
        function(index)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return median(seconds[WARM_UP:])


def estimate(runs: Sequence[Run], folder: Path, device: torch.device, jobs: int) -> str:
    """In words, how long it will take to do what is not recorded yet.

    Args:
        runs: Which, recorded or not.
        folder: Where their records will be, and where they say how far they are.
        device: Where they will be made.
        jobs: How many at once.
    """
    missing = [run for run in runs if not (folder / f"{run.name}.json").exists()]
    kinds = dict.fromkeys(_kind(run) for run in missing)
    seconds = {kind: expected_seconds(kind, device) for kind in kinds}
    left = sum(seconds[_kind(run)] * _part_left(run, folder) for run in missing)
    if not missing:
        return f"{len(runs)} of {len(runs)} runs are done."
    largest = max(kinds, key=Run.cost)
    sets = [load_images(name) for name in SETS[largest.tasks]]
    memory = expected_memory(largest, _stream(largest), sets)
    return (
        f"{len(missing)} of {len(runs)} runs to do; by a few steps of each kind they will take "
        f"{_in_words(left)} on {device.type}"
        + (f", {_in_words(left / jobs)} in {jobs} processes" if jobs > 1 else "")
        + f". A step keeps {gigabytes(memory)} there, images included."
    )


def _stream(run: Run, device: torch.device | str = "cpu") -> IncrementalStream:
    return stream_of(run.tasks, run.seed, run.batch, run.steps, device)


def _kind(run: Run) -> Run:
    """The same but for what changes no time."""
    return replace(run, seed=0, strength=None if run.strength is None else 1.0)


def _part_left(run: Run, folder: Path) -> float:
    progress = read_progress(folder / f"{run.name}.progress")
    return 1 - progress.done if progress else 1.0


def _in_words(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
