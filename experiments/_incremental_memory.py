"""How much memory a training step needs on its device."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from experiments._incremental_run import Run, learner_of
from experiments.runner import Learner
from psp_data import Images, IncrementalStream

Bytes = dict[str, int]


def memory_of(learner: Learner, samples: Tensor, labels: Tensor) -> Bytes:
    """What a training step keeps at the same time, in bytes.

    Only sizes matter: the tensors may be fake, or on the meta device.

    Args:
        learner: A plain one, or one that superposes; what penalties keep is left out.
        samples: A training batch, shape (batch, channels, height, width).
        labels: Shape (batch,).

    Returns:
        `weights` (with buffers), `gradients`, `optimiser` (its state) and `activations` (what the
        forward pass saves for the backward pass).
    """
    weights = [*learner.net.parameters()]
    own = {value.untyped_storage()._cdata for value in weights}
    saved: Bytes = {}

    def note(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage._cdata not in own:
            saved[str(storage._cdata)] = storage.nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
        loss = F.cross_entropy(learner.net(samples), labels)
    assert loss.requires_grad
    states = [
        value
        for state in learner.optimiser.state_dict()["state"].values()
        for value in state.values()
    ]
    return {
        "weights": sum(map(_bytes, [*weights, *learner.net.buffers()])),
        "gradients": sum(map(_bytes, weights)),
        "optimiser": sum(map(_bytes, states)),
        "activations": sum(saved.values()),
    }


def _bytes(value: Tensor) -> int:
    return value.numel() * value.element_size()


def expected_memory(run: Run, stream: IncrementalStream, sets: Iterable[Images]) -> Bytes:
    """What a run keeps on its device at the same time, in bytes, without making it.

    In float32; bfloat16 needs less. What penalties keep is left out.

    Args:
        run: Which.
        stream: What it learns from.
        sets: The image sets that the stream shows.

    Returns:
        The parts that `memory_of` tells, and `images`: the sets, and their test images scaled.
    """
    learner = learner_of(run, stream, "meta")
    learner.net.train()
    size = (run.batch, *stream.sample_shape)
    samples = torch.empty(size, device="meta")
    labels = torch.empty(run.batch, dtype=torch.int64, device="meta")
    images = sum(
        _bytes(each.train_images) + (1 + samples.element_size()) * _bytes(each.test_images)
        for each in sets
    )
    return {**memory_of(learner, samples, labels), "images": images}


def gigabytes(memory: Bytes) -> str:
    """The sum of the parts, in words.

    Example:
        >>> from experiments._incremental_memory import gigabytes
        >>> gigabytes({"weights": 45_000_000, "activations": 2_000_000_000})
        '2.0 GB'
    """
    return f"{sum(memory.values()) / 1e9:.1f} GB"
