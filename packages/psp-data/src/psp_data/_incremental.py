"""New classes, one group after another, on one head."""

import operator
from collections.abc import Iterable

import torch
from torch import Tensor

from psp_data._class_task import ClassTask, check_classes_exist, checked_classes
from psp_data._images import Images
from psp_data._sample_order import SampleOrder
from psp_data._stream import SequentialStream, checked_count


class IncrementalStream(SequentialStream):
    """Tasks that each show some classes of one image set.

    Within a task, the i-th of its classes has the label i, so that one head serves all tasks.
    The context of a step is its task. Each task starts a new epoch at its first step. A set that
    several tasks use is stored once.

    Args:
        tasks: For each task an image set and the classes to show, for example
            `[(cifar10, range(10)), (cifar100, range(10, 20))]`. All sets have images of the
            same shape.
        seed: Seed of the order of the samples.
        batch_size: Number of samples in a batch.
        steps_per_task: Number of steps of each task.
        device: Device of the batches; by default that of the images.

    Raises:
        ValueError: If there is no task; if the classes of a task are empty, repeated or absent
            from the set; if shapes or devices differ; if a count is not positive; or if a batch
            is larger than the train samples of a task.
        TypeError: If the classes have no order.

    Source:
        Cheung et al. 2019, section 4.2; see `icifar` for its tasks.

    Example:
        >>> from psp_data import IncrementalStream, load
        >>> digits = load("digits")
        >>> stream = IncrementalStream([(digits, [0, 1]), (digits, [7, 3])], steps_per_task=50)
        >>> images, labels = stream.train_batch(50)  # sevens are now 0 and threes 1
        >>> images.shape, labels.unique().tolist(), stream.context(50)
        (torch.Size([128, 1, 8, 8]), [0, 1], 1)
    """

    def __init__(
        self,
        tasks: Iterable[tuple[Images, Iterable[int]]],
        seed: int = 1,
        *,
        batch_size: int = 128,
        steps_per_task: int = 1000,
        device: torch.device | str | None = None,
    ) -> None:
        pairs = [
            (images, checked_classes(task, classes)) for task, (images, classes) in enumerate(tasks)
        ]
        if not pairs:
            raise ValueError("tasks is empty; pass at least one pair (images, classes).")
        self.seed = operator.index(seed)
        self.batch_size = checked_count("batch_size", batch_size)
        self.steps_per_task = checked_count("steps_per_task", steps_per_task)
        self.num_tasks = self.num_contexts = len(pairs)
        self.num_steps = self.num_tasks * self.steps_per_task
        check_classes_exist(pairs)
        sets = dict.fromkeys(images for images, _ in pairs)
        moved = {images: images if device is None else images.to(device) for images in sets}
        self._tasks = [ClassTask.select(moved[images], classes) for images, classes in pairs]
        first = self._tasks[0].images
        for index, task in enumerate(self._tasks):
            form = (task.images.image_shape, task.images.device)
            if form != (first.image_shape, first.device):
                raise ValueError(
                    f"tasks[{index}]: {task.images!r} does not fit {first!r} of tasks[0]; use "
                    "images of one shape (resized, padded) on one device (device=)."
                )
        self.num_classes = max(len(task.classes) for task in self._tasks)
        self.sample_shape = first.image_shape
        self.device = first.device
        self._orders = [
            SampleOrder(
                len(task.train_labels),
                self.batch_size,
                "incremental samples",
                self.seed,
                index,
                device=self.device,
            )
            for index, task in enumerate(self._tasks)
        ]

    def classes(self, task: int) -> tuple[int, ...]:
        """Return the classes of `task`, in the order of their labels on the head."""
        return self._tasks[self._checked_task(task)].classes

    def train_batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the images of `step`, (batch_size, C, H, W) float32, and labels (batch_size,)."""
        index, step_in_task = divmod(self._checked_step(step), self.steps_per_task)
        task, samples = self._tasks[index], self._orders[index](step_in_task)
        pixels = task.images.train_images.index_select(0, task.train_rows.index_select(0, samples))
        return task.images.scaled(pixels), task.train_labels.index_select(0, samples)

    def test_set(self, task: int) -> tuple[Tensor, Tensor]:
        """Return the test images of the classes of `task`, (N, C, H, W), and their labels (N,)."""
        chosen = self._tasks[self._checked_task(task)]
        pixels = chosen.images.test_images.index_select(0, chosen.test_rows)
        return chosen.images.scaled(pixels), chosen.test_labels.clone()

    def _grey(self, samples: Tensor, task: int) -> Tensor:
        return self._tasks[task].images.unscaled(samples)
