"""Memory that a training step needs on its device."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from experiments.runner.learner import Learner
from experiments.studies.incremental.run import IncrementalRun, learner_of
from psp_data import Images, IncrementalStream

Bytes = dict[str, int]


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
        >>> from experiments.studies.incremental.memory import gigabytes
        >>> gigabytes({"weights": 45_000_000, "activations": 2_000_000_000})
        '2.0 GB'
    """
    return f"{sum(memory.values()) / 1e9:.1f} GB"
