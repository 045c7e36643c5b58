"""New classes, one group after another, on one head."""

from collections.abc import Iterable

import torch
from torch import Tensor

from psp_data._arguments import check_type, checked_count, checked_integer, checked_step
from psp_data._class_task import ClassTask, checked_task, refuse_absent_classes
from psp_data._images import Images
from psp_data._sample_order import SampleOrder
from psp_data._stream import Stream


class IncrementalStream(Stream):
    """Some classes of a set, then other classes of it or of another, and so on.

    Within a task the i-th of its classes has the label i, so that one head serves all the tasks.
    The context of a step is its task. The epochs of a task count from its first step. Each set
    is held once, however many tasks use it.

    Args:
        tasks: For each task an image set and the classes that it shows, for example
            `[(cifar10, range(10)), (cifar100, range(10, 20))]`. All sets have images of one
            shape.
        seed: Draws the order of the samples.
        batch_size: Samples in a batch.
        steps_per_task: Steps before the next task begins.
        device: Where the batches are wanted; by default where the images lie.

    Raises:
        ValueError: If there is no task, a class list is empty, repeats a class or names one
            that the set does not hold, the shapes or devices differ, a number is not positive,
            a batch is larger than the train samples of a task, or the device is not there.
        TypeError: If a class is not an integer, or another argument of another type.

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
        """Find the samples of each task; take the sets to the device, each once."""
        check_type("tasks", tasks, Iterable, "pairs (images, classes)")
        wanted = [checked_task(f"tasks[{number}]", task) for number, task in enumerate(tasks)]
        if not wanted:
            raise ValueError("tasks is empty; pass at least one (images, classes) to show.")
        self.seed = checked_integer("seed", seed)
        self.batch_size = checked_count("batch_size", batch_size)
        self.steps_per_task = checked_count("steps_per_task", steps_per_task)
        self.num_tasks = self.num_contexts = len(wanted)
        self.num_steps = self.num_tasks * self.steps_per_task
        refuse_absent_classes(wanted)
        given = dict.fromkeys(images for images, _ in wanted)
        moved = {images: images if device is None else images.to(device) for images in given}
        self._tasks = [ClassTask.of(moved[images], classes) for images, classes in wanted]
        first = self._tasks[0].images
        for number, task in enumerate(self._tasks):
            found = (task.images.image_shape, task.images.device)
            if found != (first.image_shape, first.device):
                raise ValueError(
                    f"tasks[{number}]: {task.images!r} does not go with {first!r} of tasks[0]; use "
                    "images of one shape (resized, padded) on one device (device=)."
                )
        self.num_classes = max(len(task.classes) for task in self._tasks)
        self.sample_shape = first.image_shape
        self.device = first.device
        self._orders = [
            SampleOrder(
                len(task.train_labels),
                self.batch_size,
                *("incremental samples", self.seed, number),
                device=self.device,
            )
            for number, task in enumerate(self._tasks)
        ]

    def classes(self, task: int) -> tuple[int, ...]:
        """The classes that `task` shows, in the order of their labels on the head."""
        return self._tasks[self._checked_task(task)].classes

    def train_batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The images of `step`, (batch_size, C, H, W) float32, and their labels (batch_size,)."""
        step = checked_step(step, self.num_steps)
        number = self.task(step)
        task = self._tasks[number]
        chosen = self._orders[number](step - number * self.steps_per_task)
        rows = task.train_rows.index_select(0, chosen)
        pixels = task.images.train_images.index_select(0, rows)
        return task.images.scaled(pixels), task.train_labels.index_select(0, chosen)

    def task(self, step: int) -> int:
        """The task of `step`: a new one after every `steps_per_task` steps."""
        return checked_step(step, self.num_steps) // self.steps_per_task

    def context(self, step: int) -> int:
        """One context for each task."""
        return self.task(step)

    def first_step(self, task: int) -> int:
        """The step from which the classes of `task` are shown."""
        return self._checked_task(task) * self.steps_per_task

    def test_set(self, task: int) -> tuple[Tensor, Tensor]:
        """The test images of the task's classes, (N, C, H, W) float32, and their labels (N,)."""
        chosen = self._tasks[self._checked_task(task)]
        pixels = chosen.images.test_images.index_select(0, chosen.test_rows)
        return chosen.images.scaled(pixels), chosen.test_labels.clone()

    def _grey(self, samples: Tensor, task: int) -> Tensor:
        return self._tasks[task].images.unscaled(samples)
