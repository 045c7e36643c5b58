"""New classes, one group after another, on one head."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from psp_data._images import Images
from psp_data._sample_order import SampleOrder
from psp_data._stream import Stream, checked_count, checked_step


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
            or a batch is larger than the train samples of a task.

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
        tasks: Sequence[tuple[Images, Sequence[int]]],
        seed: int = 1,
        *,
        batch_size: int = 128,
        steps_per_task: int = 1000,
        device: torch.device | str | None = None,
    ) -> None:
        """Find the samples of each task; take the sets to the device, each once."""
        if not tasks:
            raise ValueError("IncrementalStream needs at least one (images, classes) to show.")
        self.seed = operator.index(seed)
        self.batch_size = batch_size
        self.steps_per_task = checked_count("steps_per_task", steps_per_task)
        self.num_tasks = self.num_contexts = len(tasks)
        self.num_steps = self.num_tasks * self.steps_per_task
        moved = {id(images): images if device is None else images.to(device) for images, _ in tasks}
        self._tasks = [
            _Task.of(f"task {number}", moved[id(images)], classes)
            for number, (images, classes) in enumerate(tasks)
        ]
        first = self._tasks[0].images
        for number, task in enumerate(self._tasks):
            found = (task.images.image_shape, task.images.device)
            if found != (first.image_shape, first.device):
                raise ValueError(
                    f"task {number}: {task.images!r} does not go with {first!r} of task 0; use "
                    "images of one shape (resized, padded) on one device (device=)."
                )
        self.num_classes = max(len(task.classes) for task in self._tasks)
        self.sample_shape = first.image_shape
        self.device = first.device
        self._orders = [
            SampleOrder(
                len(task.train_labels),
                batch_size,
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

    def grey(self, samples: Tensor, task: int) -> Tensor:
        """Samples of `task` as images again, (N, C, H, W) uint8."""
        return self._tasks[self._checked_task(task)].images.unscaled(samples)


def split(images: Images, classes_per_task: int) -> list[tuple[Images, tuple[int, ...]]]:
    """The classes of a set dealt out in order, as tasks for `IncrementalStream`.

    Args:
        images: Any image set.
        classes_per_task: How many classes each task shows; must divide the number of classes
            that the set holds.

    Returns:
        One (images, classes) for each task.

    Raises:
        ValueError: If the classes do not come out even.

    Example:
        >>> from psp_data import load, split
        >>> [classes for _, classes in split(load("digits"), 5)]
        [(0, 1, 2, 3, 4), (5, 6, 7, 8, 9)]
    """
    count = checked_count("classes_per_task", classes_per_task)
    if len(images.classes) % count:
        raise ValueError(
            f"classes_per_task={count} does not divide the {len(images.classes)} classes of "
            f"{images.name}; give IncrementalStream class lists of your own."
        )
    starts = range(0, len(images.classes), count)
    return [(images, images.classes[start : start + count]) for start in starts]


@dataclass(frozen=True, eq=False)
class _Task:
    images: Images
    classes: tuple[int, ...]
    train_rows: Tensor  # (n,) int64: where the samples of the task are in the whole train set
    train_labels: Tensor  # (n,) int64: their labels on the head
    test_rows: Tensor
    test_labels: Tensor

    @classmethod
    def of(cls, where: str, images: Images, classes: Sequence[int]) -> "_Task":
        wanted = tuple(operator.index(label) for label in classes)
        if not wanted:
            raise ValueError(f"{where}: the list of classes is empty; name at least one.")
        if len(set(wanted)) < len(wanted):
            repeated = sorted({label for label in wanted if wanted.count(label) > 1})
            raise ValueError(f"{where}: the classes {_spans(repeated)} are listed repeatedly.")
        held = set(images.classes) & set(images.test_labels.unique().tolist())
        if missing := set(wanted) - held:
            raise ValueError(
                f"{where}: this copy of {images.name} has no images of the classes "
                f"{_spans(missing)}; it holds {_spans(held)}. Use a whole copy, or list only "
                "classes that are there."
            )
        return cls(
            images,
            wanted,
            *_choose(images.train_labels, wanted),
            *_choose(images.test_labels, wanted),
        )


def _choose(labels: Tensor, classes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """The rows that have one of the classes, and for each its place in `classes`."""
    on_head = labels.new_full((max(int(labels.max()), *classes) + 1,), -1)
    on_head[list(classes)] = torch.arange(len(classes), device=labels.device)
    new_labels = on_head[labels]
    rows = (new_labels >= 0).nonzero().flatten()
    return rows, new_labels[rows]


def _spans(numbers: Sequence[int] | set[int]) -> str:
    """Numbers as text, runs joined: 0–3, 7."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
