"""The order in which a stream draws the samples of a set."""

import torch
from torch import Tensor

from psp_data._random_order import random_order


class SampleOrder:
    """An endless sequence of sample indices, cut into batches.

    Each epoch is a random order of all samples. The sequence is one epoch after another, and
    batch t holds its positions t·batch_size to (t+1)·batch_size − 1. So every epoch shows each
    sample exactly once. Where batch_size does not divide the number of samples, some batches
    hold the end of one epoch and the start of the next.

    Args:
        num_samples: Number of samples in the set.
        batch_size: Number of samples in a batch, from 1 to `num_samples`.
        label: Label of the random orders, for example a purpose and a seed.
        device: Device of the indices.

    Raises:
        ValueError: If a batch is larger than the set.
    """

    def __init__(
        self, num_samples: int, batch_size: int, *label: object, device: torch.device
    ) -> None:
        if batch_size > num_samples:
            raise ValueError(f"batch_size={batch_size} is more than the {num_samples} samples.")
        self._num_samples = num_samples
        self._batch_size = batch_size
        self._label = label
        self._device = device
        self._epochs: dict[int, Tensor] = {}

    def __call__(self, step: int) -> Tensor:
        """Return the sample indices of batch `step`, shape (batch_size,), int64."""
        epoch, start = divmod(step * self._batch_size, self._num_samples)
        stop = start + self._batch_size
        batch = self._epoch(epoch)[start:stop]
        missing = stop - self._num_samples
        return torch.cat([batch, self._epoch(epoch + 1)[:missing]]) if missing > 0 else batch

    def _epoch(self, epoch: int) -> Tensor:
        order = self._epochs.get(epoch)
        if order is None:
            order = random_order(self._num_samples, *self._label, epoch).to(self._device)
            # Cache the last two epochs, the most that one batch can need.
            self._epochs = {**dict(list(self._epochs.items())[-1:]), epoch: order}
        return order
