"""What every stream can be asked."""

import operator
from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Stream(ABC):
    """Training batches and test sets as a pure function of (seed, step).

    Nothing is remembered between calls: a batch is the same after a resume, in another process,
    on another device (the images to the last rounding), and when steps are visited out of order.

    Attributes:
        num_tasks: How many tasks there are to be tested on.
        num_contexts: How many contexts `context` tells apart.
        num_classes: How many outputs a head needs for the labels.
        sample_shape: Shape of one sample of a batch.
        batch_size: Samples in a training batch.
        seed: What the order of the samples, and whatever else is random, is drawn from.
        device: Where the batches and test sets lie.
    """

    num_tasks: int
    num_contexts: int
    num_classes: int
    sample_shape: tuple[int, ...]
    batch_size: int
    seed: int
    device: torch.device

    @abstractmethod
    def train_batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The samples shown at `step`, (batch_size, *sample_shape) float32, and int64 labels.

        Raises:
            IndexError: If `step` is negative or beyond the end of the stream.
        """

    @abstractmethod
    def task(self, step: int) -> int:
        """The task that `step` belongs to, 0 <= task < num_tasks."""

    @abstractmethod
    def context(self, step: int) -> int:
        """The context that goes with `step`, 0 <= context < num_contexts."""

    @abstractmethod
    def first_step(self, task: int) -> int:
        """The first step of `task`."""

    @abstractmethod
    def test_set(self, task: int) -> tuple[Tensor, Tensor]:
        """All test samples as `task` shows them, (N, *sample_shape) float32, and int64 labels."""

    @abstractmethod
    def grey(self, samples: Tensor, task: int) -> Tensor:
        """Samples of `task` as images again, (N, C, H, W) uint8, for looking at."""

    def test_context(self, task: int) -> int:
        """The context under which to test `task`: that of its first step."""
        return self.context(self.first_step(task))

    def _checked_task(self, task: int) -> int:
        task = checked_integer("task", task)
        if not 0 <= task < self.num_tasks:
            raise IndexError(
                f"task={task} is not one of the {self.num_tasks} tasks 0..{self.num_tasks - 1} of "
                f"this {type(self).__name__}."
            )
        return task


def checked_integer(name: str, value: int) -> int:
    """The value as an int: a numpy integer would overflow in the arithmetic of steps."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name}={value!r} must be an integer, but is a {type(value).__name__}; pass an int."
        ) from None


def checked_step(step: int, num_steps: int | None = None) -> int:
    """The step as an int, if it is one of 0..num_steps-1 (or any from 0 on)."""
    step = checked_integer("step", step)
    if step < 0:
        raise IndexError(f"step={step} is negative; the first step of a stream is 0.")
    if num_steps is not None and step >= num_steps:
        raise IndexError(
            f"step={step} is beyond the last step of the stream, {num_steps - 1}; build it with "
            "more tasks or more steps_per_task."
        )
    return step


def checked_count(name: str, value: int) -> int:
    """The value as an int, if it is at least 1."""
    value = checked_integer(name, value)
    if value < 1:
        raise ValueError(f"{name}={value} must be at least 1.")
    return value
