"""Permuted pixels: one set of images, many input distributions."""

import operator

import torch
from torch import Tensor

from psp_data._images import Images
from psp_data._random_order import random_order
from psp_data._sample_order import SampleOrder
from psp_data._stream import SequentialStream, checked_count


class PermutingStream(SequentialStream):
    """One image set whose pixels are permuted differently in every task.

    Task 0 shows the images unchanged; every later task has its own fixed random permutation.
    The context of a step is its task. Samples are vectors, for a net whose first layer is
    linear: all C·H·W values of an image are permuted together, channels included. Epochs
    continue across tasks. The stream stores one permutation per task and no copy of the images.

    Args:
        images: Any image set.
        num_tasks: Number of tasks, including task 0.
        seed: Seed of the permutations and of the order of the samples.
        batch_size: Number of samples in a batch.
        steps_per_task: Number of steps of each task.
        device: Device of the batches; by default that of the images.

    Raises:
        ValueError: If a count is not positive or a batch is larger than the train set.

    Source:
        Cheung et al. 2019, section 4.1: 50 tasks of 1000 batches of 128.

    Example:
        >>> from psp_data import PermutingStream, load
        >>> stream = PermutingStream(load("digits"), num_tasks=3, steps_per_task=10)
        >>> samples, labels = stream.train_batch(25)
        >>> samples.shape, samples.dtype, labels.shape
        (torch.Size([128, 64]), torch.float32, torch.Size([128]))
        >>> stream.task(25), stream.context(25), stream.num_steps
        (2, 2, 30)
    """

    def __init__(
        self,
        images: Images,
        num_tasks: int = 50,
        seed: int = 1,
        *,
        batch_size: int = 128,
        steps_per_task: int = 1000,
        device: torch.device | str | None = None,
    ) -> None:
        self.images = images if device is None else images.to(device)
        self.num_tasks = self.num_contexts = checked_count("num_tasks", num_tasks)
        self.seed = operator.index(seed)
        self.batch_size = checked_count("batch_size", batch_size)
        self.steps_per_task = checked_count("steps_per_task", steps_per_task)
        self.num_steps = self.num_tasks * self.steps_per_task
        self.num_classes = images.num_classes
        self.sample_shape = (images.train_images[0].numel(),)
        self.device = self.images.device
        self._train = self.images.train_images.flatten(1)
        self._order = SampleOrder(
            len(self._train), self.batch_size, "permuting samples", self.seed, device=self.device
        )
        self._permutations: dict[int, Tensor] = {}

    def permutation(self, task: int) -> Tensor:
        """Return the source pixel of each input, so that a sample is `image[permutation]`.

        Shape (C·H·W,), int64; the identity for task 0.
        """
        return self._permutation(self._checked_task(task)).to(torch.int64)

    def train_batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the samples of `step`, (batch_size, C·H·W) float32, and labels (batch_size,)."""
        step = self._checked_step(step)
        rows = self._order(step)
        pixels = self._train.index_select(0, rows)
        samples = self._permuted(pixels, step // self.steps_per_task)
        return samples, self.images.train_labels.index_select(0, rows)

    def test_set(self, task: int) -> tuple[Tensor, Tensor]:
        """Return the permuted test images of `task`, (N, C·H·W) float32, and labels (N,)."""
        pixels = self.images.test_images.flatten(1)
        return self._permuted(pixels, self._checked_task(task)), self.images.test_labels.clone()

    def _grey(self, samples: Tensor, task: int) -> Tensor:
        """Return the images with their pixels still permuted, as the net receives them."""
        return self.images.unscaled(samples).view(-1, *self.images.image_shape)

    def _permutation(self, task: int) -> Tensor:
        if task not in self._permutations:
            (num_pixels,) = self.sample_shape
            if task:
                permutation = random_order(num_pixels, "permuting pixels", self.seed, task)
            else:
                permutation = torch.arange(num_pixels, device="cpu")
            # On the CPU, a gather by int32 is a tenth faster than by int64.
            self._permutations[task] = permutation.to(self.device, torch.int32)
        return self._permutations[task]

    def _permuted(self, pixels: Tensor, task: int) -> Tensor:
        # Scale first: the gather is four times as fast on float32 as on bytes.
        scaled = self.images.scaled(pixels)
        return scaled.index_select(1, self._permutation(task)) if task else scaled
