"""What every stream can be asked."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from psp_data._arguments import check_type, checked_integer


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
    def _grey(self, samples: Tensor, task: int) -> Tensor:
        """`grey` for checked arguments."""

    def grey(self, samples: Tensor, task: int) -> Tensor:
        """Samples of `task` as images again, (N, C, H, W) uint8, for looking at.

        Raises:
            TypeError: If `samples` is no floating tensor, or `task` no integer.
            ValueError: If the samples do not have the shape of the stream's.
            IndexError: If there is no such task.
        """
        check_type("samples", samples, Tensor, "a tensor")
        if not samples.is_floating_point():
            raise TypeError(
                f"samples are scaled and floating, but those that arrived are {samples.dtype}; "
                "pass what train_batch or test_set gives."
            )
        if samples.dim() == 0 or samples.shape[1:] != self.sample_shape:
            wanted = ", ".join(("N", *map(str, self.sample_shape)))
            raise ValueError(
                f"samples of this {type(self).__name__} have shape ({wanted}), but those that "
                f"arrived have {tuple(samples.shape)}; pass what train_batch or test_set gives."
            )
        return self._grey(samples, self._checked_task(task))

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
