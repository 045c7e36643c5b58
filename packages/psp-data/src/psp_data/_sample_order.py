"""The order in which a stream draws the samples of a set."""

import torch
from torch import Tensor

from psp_data._arguments import checked_count
from psp_data._random_order import random_order


class SampleOrder:
    """An endless sequence of sample numbers, cut into batches.

    Epoch e is a random order of all the samples; the sequence is epoch after epoch, and batch t
    holds its positions t·batch_size to (t+1)·batch_size − 1. So no sample is ever left out: every
    epoch shows each sample exactly once, and where batch_size does not divide the number of
    samples, some batches hold the end of one epoch and the start of the next.

    Args:
        num_samples: How many samples there are.
        batch_size: How many make a batch, at most `num_samples`.
        label: What the order is drawn from, for example a purpose and a seed.
        device: Where the numbers are wanted.

    Raises:
        ValueError: If a batch is larger than the set, or empty.
    """

    def __init__(
        self, num_samples: int, batch_size: int, *label: object, device: torch.device
    ) -> None:
        """Draw nothing yet: an epoch is drawn when one of its batches is asked for."""
        self._batch_size = batch_size = checked_count("batch_size", batch_size)
        if batch_size > num_samples:
            raise ValueError(
                f"batch_size={batch_size} is more than the {num_samples} samples to draw from "
                f"without replacement; use {num_samples} or less."
            )
        self._num_samples = num_samples
        self._label = label
        self._device = device
        self._drawn: dict[int, Tensor] = {}

    def __call__(self, step: int) -> Tensor:
        """The samples of batch `step`, shape (batch_size,), int64."""
        epoch, start = divmod(step * self._batch_size, self._num_samples)
        stop = start + self._batch_size
        batch = self._epoch(epoch)[start:stop]
        missing = stop - self._num_samples
        return torch.cat([batch, self._epoch(epoch + 1)[:missing]]) if missing > 0 else batch

    def _epoch(self, epoch: int) -> Tensor:
        order = self._drawn.get(epoch)
        if order is None:
            order = random_order(self._num_samples, *self._label, epoch).to(self._device)
            # A cache of the last two epochs, as many as a batch can need.
            self._drawn = {**dict(list(self._drawn.items())[-1:]), epoch: order}
        return order
