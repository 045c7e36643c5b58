"""Permuted pixels: one set of images, many input distributions."""

import torch
from torch import Tensor

from psp_data._arguments import checked_count, checked_integer, checked_step
from psp_data._images import Images, images_on
from psp_data._random_order import random_order
from psp_data._sample_order import SampleOrder
from psp_data._stream import Stream


class PermutingStream(Stream):
    """The images in their own order of pixels, then in one fixed random order after another.

    Task 0 shows them as they are; each later task has a permutation of its own. The context of
    a step is its task. The samples are vectors, for a net whose first layer is linear: all
    C·H·W numbers of an image are permuted together, channels included. Epochs run on across
    the tasks. Only the permutations are kept for the tasks, never a copy of the images.

    Args:
        images: Any image set.
        num_tasks: How many tasks there are, task 0 included.
        seed: Draws the permutations and the order of the samples.
        batch_size: Samples in a batch.
        steps_per_task: Steps before the pixels are permuted anew.
        device: Where the batches are wanted; by default where the images lie.

    Raises:
        ValueError: If a number is not positive, a batch is larger than the train set, or the
            device is not there.
        TypeError: If an argument is of another type.

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
        """Take the images to the device; draw nothing yet."""
        self.images = images_on(device, images)
        self.num_tasks = self.num_contexts = checked_count("num_tasks", num_tasks)
        self.seed = checked_integer("seed", seed)
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
        """Which pixel each input shows: sample i of `task` is `image[permutation]`.

        Shape (C·H·W,), int64; task 0 has the identity.
        """
        return self._permutation(self._checked_task(task)).to(torch.int64)

    def train_batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The samples of `step`, (batch_size, C·H·W) float32, and their labels (batch_size,)."""
        step = checked_step(step, self.num_steps)
        chosen = self._order(step)
        pixels = self._train.index_select(0, chosen)
        return (
            self._permuted(pixels, step // self.steps_per_task),
            self.images.train_labels.index_select(0, chosen),
        )

    def task(self, step: int) -> int:
        """The task of `step`: a new one after every `steps_per_task` steps."""
        return checked_step(step, self.num_steps) // self.steps_per_task

    def context(self, step: int) -> int:
        """One context for each task."""
        return self.task(step)

    def first_step(self, task: int) -> int:
        """The step from which the pixels are permuted as in `task`."""
        return self._checked_task(task) * self.steps_per_task

    def test_set(self, task: int) -> tuple[Tensor, Tensor]:
        """The test images permuted as in `task`, (N, C·H·W) float32, and their labels (N,)."""
        pixels = self.images.test_images.flatten(1)
        return self._permuted(pixels, self._checked_task(task)), self.images.test_labels.clone()

    def _grey(self, samples: Tensor, task: int) -> Tensor:
        """With the pixels where the net gets them."""
        return self.images.unscaled(samples).view(-1, *self.images.image_shape)

    def _permutation(self, task: int) -> Tensor:
        if task not in self._permutations:
            (count,) = self.sample_shape
            drawn = random_order(count, "permuting pixels", self.seed, task)
            chosen = drawn if task else torch.arange(count, device="cpu")
            # int32: a tenth faster to gather by, on the CPU, than int64.
            self._permutations[task] = chosen.to(self.device, torch.int32)
        return self._permutations[task]

    def _permuted(self, pixels: Tensor, task: int) -> Tensor:
        # Scaled first: the gather is four times as fast on float32 as on bytes.
        scaled = self.images.scaled(pixels)
        return scaled.index_select(1, self._permutation(task)) if task else scaled
