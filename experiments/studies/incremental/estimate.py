"""Estimates of the time that runs take, from a few steps of each kind, and of their memory."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional as F

from experiments.runner.device import one_thread, resolve_device, synchronised_time
from experiments.runner.images import load_images
from experiments.runner.learner import Learner
from experiments.runner.progress import read_progress
from experiments.runner.settings import RunSettings
from experiments.studies.incremental.run import IncrementalRun, learner_of, prepare
from experiments.studies.incremental.tasks import stream_of
from psp_data import Images, IncrementalStream

Bytes = dict[str, int]

WARM_UP, TIMED = 2, 3
"""Steps before and during the timing."""


def expected_seconds(run: IncrementalRun, device: torch.device) -> float:
    """Estimate the time of a run from a few steps and test batches, without EWC's work per task.

    Args:
        run: Run to estimate; the networks trained here are discarded.
        device: Device of the run.
    """
    learner, stream, measurement = prepare(run, device)
    learner.net.train()

    def step(index: int) -> None:
        learner.step(*stream.train_batch(index % stream.num_steps))

    def test(index: int) -> None:
        measurement.count(0, run.test_batch)

    with one_thread():  # as every run of a grid
        training = stream.num_steps * _median_seconds(step, device)
        tests = measurement.tested / run.test_batch * _median_seconds(test, device)
    return training + tests


def _median_seconds(function: Callable[[int], None], device: torch.device) -> float:
    seconds = []
    for index in range(WARM_UP + TIMED):
        start = synchronised_time(device)
        function(index)
        seconds.append(synchronised_time(device) - start)
    return median(seconds[WARM_UP:])


def announce(runs: Sequence[IncrementalRun], settings: RunSettings) -> str:
    """Return a sentence about the time and memory of the runs that have no record yet.

    Args:
        runs: Runs of the command, with or without a record.
        settings: Folder, device and number of processes.
    """
    folder, device = settings.out / "incremental", resolve_device(settings.device)
    missing = [run for run in runs if not (folder / f"{run.name}.json").exists()]
    if not missing:
        return f"{len(runs)} of {len(runs)} runs are done."
    kinds = dict.fromkeys(map(_kind, missing))
    seconds = {kind: expected_seconds(kind, device) for kind in kinds}
    remaining = sum(seconds[_kind(run)] * _part_left(run, folder) for run in missing)
    largest = max(kinds, key=IncrementalRun.cost)
    stream = stream_of(largest.tasks, largest.seed, largest.batch, largest.steps)
    memory = expected_memory(largest, stream, map(load_images, largest.image_sets))
    in_parallel = f", {_in_words(remaining / settings.jobs)} in {settings.jobs} processes"
    return (
        f"{len(missing)} of {len(runs)} runs to do. A few steps of each kind suggest "
        f"{_in_words(remaining)} on {device.type}{in_parallel if settings.jobs > 1 else ''}. "
        f"A step keeps {gigabytes(memory)} there, images included."
    )


def _kind(run: IncrementalRun) -> IncrementalRun:
    """Return the run with fixed values of the fields that do not affect its time."""
    return replace(run, seed=0, strength=run.strength and 1.0)


def _part_left(run: IncrementalRun, folder: Path) -> float:
    progress = read_progress(folder / f"{run.name}.progress")
    return 1 - progress.done if progress else 1.0


def _in_words(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def memory_of(learner: Learner, samples: Tensor, labels: Tensor) -> Bytes:
    """Return the bytes that a training step holds at the same time, by part.

    Only shapes and dtypes matter, so the tensors may be fake or on the meta device. The state of
    penalties is not included.

    Args:
        learner: Plain or superposed learner.
        samples: Training batch, shape (batch, channels, height, width).
        labels: Labels, shape (batch,).

    Returns:
        `weights` (with buffers), `gradients`, `optimiser` (its state) and `activations` (tensors
        saved for the backward pass).
    """
    parameters = [*learner.net.parameters()]
    parameter_storages = {value.untyped_storage()._cdata for value in parameters}
    saved: Bytes = {}

    def pack(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage._cdata not in parameter_storages:
            saved[str(storage._cdata)] = storage.nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        loss = F.cross_entropy(learner.net(samples), labels)
    assert loss.requires_grad
    states = [
        value
        for state in learner.optimiser.state_dict()["state"].values()
        for value in state.values()
    ]
    return {
        "weights": sum(value.nbytes for value in [*parameters, *learner.net.buffers()]),
        "gradients": sum(value.nbytes for value in parameters),
        "optimiser": sum(value.nbytes for value in states),
        "activations": sum(saved.values()),
    }


def expected_memory(
    run: IncrementalRun, stream: IncrementalStream, image_sets: Iterable[Images]
) -> Bytes:
    """Return the bytes that a run holds on its device at the same time, without building it.

    This is for float32; bfloat16 needs less. The state of penalties is not included.

    Args:
        run: Run to estimate.
        stream: Stream of the run.
        image_sets: Image sets of the stream.

    Returns:
        The parts of `memory_of`, and `images`: the sets, and their test images in float.
    """
    learner = learner_of(run, stream, "meta")
    learner.net.train()
    samples = torch.empty((run.batch, *stream.sample_shape), device="meta")
    labels = torch.empty(run.batch, dtype=torch.int64, device="meta")
    images = sum(
        image_set.train_images.nbytes + (1 + samples.element_size()) * image_set.test_images.nbytes
        for image_set in image_sets
    )
    return {**memory_of(learner, samples, labels), "images": images}


def gigabytes(memory: Bytes) -> str:
    """Return the sum of the parts in GB.

    Example:
        >>> from experiments.studies.incremental.estimate import gigabytes
        >>> gigabytes({"weights": 45_000_000, "activations": 2_000_000_000})
        '2.0 GB'
    """
    return f"{sum(memory.values()) / 1e9:.1f} GB"
