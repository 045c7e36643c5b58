"""The interface that all streams share."""

import operator
from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Stream(ABC):
    """Training batches and test sets as a pure function of (seed, step).

    A stream keeps no state between calls: a batch is the same after a resume, in another
    process, on another device (rotated images to the last rounding), and whatever the order in
    which steps are visited.

    Attributes:
        num_tasks: Number of tasks to test on.
        num_contexts: Number of different values of `context`.
        num_classes: Number of outputs that a head needs for the labels.
        num_steps: Number of steps, or None if the stream never ends.
        sample_shape: Shape of one sample of a batch.
        batch_size: Number of samples in a training batch.
        seed: Seed of the order of the samples and of everything else that is random.
        device: Device of the batches and test sets.
    """

    num_tasks: int
    num_contexts: int
    num_classes: int
    num_steps: int | None = None
    sample_shape: tuple[int, ...]
    batch_size: int
    seed: int
    device: torch.device

    @abstractmethod
    def train_batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the samples of `step`, (batch_size, *sample_shape) float32, and int64 labels.

        Raises:
            IndexError: If `step` is negative or beyond the end of the stream.
        """

    @abstractmethod
    def task(self, step: int) -> int:
        """Return the task that `step` belongs to, 0 <= task < num_tasks."""

    @abstractmethod
    def context(self, step: int) -> int:
        """Return the context of `step`, 0 <= context < num_contexts."""

    @abstractmethod
    def first_step(self, task: int) -> int:
        """Return the first step of `task`."""

    @abstractmethod
    def test_set(self, task: int) -> tuple[Tensor, Tensor]:
        """Return the test samples of `task`, (N, *sample_shape) float32, and int64 labels."""

    def test_context(self, task: int) -> int:
        """Return the context to test `task` with: the context of its first step."""
        return self.context(self.first_step(task))

    def grey(self, samples: Tensor, task: int) -> Tensor:
        """Convert samples of `task` back to images for display, (N, C, H, W) uint8.

        Raises:
            TypeError: If `samples` is not a floating tensor.
            ValueError: If `samples` does not have the shape (N, *sample_shape).
            IndexError: If there is no such task.
        """
        if samples.shape[1:] != self.sample_shape:
            raise ValueError(
                f"samples have shape {tuple(samples.shape)}, but must be a batch of samples of "
                f"shape {self.sample_shape}; pass samples of train_batch or test_set."
            )
        return self._grey(samples, self._checked_task(task))

    @abstractmethod
    def _grey(self, samples: Tensor, task: int) -> Tensor:
        """Implement `grey` for checked arguments."""

    def _checked_task(self, task: int) -> int:
        task = operator.index(task)
        if not 0 <= task < self.num_tasks:
            raise IndexError(
                f"task={task} is not one of the tasks 0..{self.num_tasks - 1} of this "
                f"{type(self).__name__}."
            )
        return task

    def _checked_step(self, step: int) -> int:
        step = operator.index(step)  # products of small numpy integers would overflow
        if step < 0 or (self.num_steps is not None and step >= self.num_steps):
            last = "" if self.num_steps is None else self.num_steps - 1
            raise IndexError(
                f"step={step} is not one of the steps 0..{last} of this {type(self).__name__}."
            )
        return step


class SequentialStream(Stream):
    """A stream that shows one task after another, with one context for each task.

    Attributes:
        steps_per_task: Number of steps of every task.
    """

    steps_per_task: int
    num_steps: int

    def task(self, step: int) -> int:
        """Return the task of `step`; the next one begins after every `steps_per_task` steps."""
        return self._checked_step(step) // self.steps_per_task

    def context(self, step: int) -> int:
        """Return the context of `step`: its task."""
        return self.task(step)

    def first_step(self, task: int) -> int:
        """Return the first step of `task`."""
        return self._checked_task(task) * self.steps_per_task


def checked_count(name: str, count: int) -> int:
    """Return `count` as an int, after checking that it is at least 1."""
    count = operator.index(count)  # products of small numpy integers would overflow
    if count < 1:
        raise ValueError(f"{name}={count} must be at least 1.")
    return count
