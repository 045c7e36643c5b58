"""Accuracy on all tasks of a stream during a run, as counts of correct test images.

- the *curve*: task 0, every few steps, on some of its images;
- the *rows* of the accuracy matrix: after every task all tasks so far, on the same number of
  images each, chosen so that a full row has a fixed size;
- the *final* row, on every test image of every task.
"""

from typing import Protocol

from torch import Tensor

from experiments.runner.learner import TEST_BATCH, Learner
from experiments.runner.run import Run
from experiments.runner.trainer import Log
from psp_data import IncrementalStream, PermutingStream


class TestImages(Protocol):
    """The test images of every task.

    Attributes:
        counts: Number of test images of each task.
    """

    counts: list[int]

    def __call__(self, task: int, count: int) -> tuple[Tensor, Tensor]:
        """Return `count` evenly spaced test images as `task` shows them, and their labels."""


class Accuracies:
    """Measures a learner on the tasks of a stream and keeps the counts in a log; see `train`.

    Args:
        learner: The learner.
        stream: Its stream.
        tests: Test images of the stream's tasks.
        run: The run, with the size of its curve.
        row_images: Number of images for a full row of the accuracy matrix.
        test_batch: Largest number of test images in one batch.

    Attributes:
        log: `curve` (with `every`, `images`, `steps`, `correct` and `loss`), `rows` (with `images`
            of each task and `correct`, row i about tasks 0..i) and, at the end, `final`, whose
            `images` is one number for all tasks, or a list if they differ.
    """

    def __init__(
        self,
        learner: Learner,
        stream: PermutingStream | IncrementalStream,
        tests: TestImages,
        run: Run,
        *,
        row_images: int,
        test_batch: int = TEST_BATCH,
    ) -> None:
        self.num_steps = stream.num_steps
        self.every = run.curve_every
        self._learner = learner
        self._stream = stream
        self._tests = tests
        self._test_batch = test_batch
        self._last = stream.num_tasks - 1
        self._curve_images = min(run.curve_images, tests.counts[0])
        self._row_images = min(max(1, row_images // stream.num_tasks), *tests.counts)
        self._forgets_nothing = learner.forgets_nothing  # so that earlier counts stay valid
        same_size = len(set(tests.counts)) == 1
        points: dict[str, list[float]] = {"steps": [], "correct": [], "loss": []}
        self.log: Log = {
            "curve": {"every": self.every, "images": self._curve_images, **points},
            "rows": {"images": self._row_images, "correct": []},
            "final": {"images": tests.counts[0] if same_size else tests.counts, "correct": []},
        }

    def __call__(self, done: int, loss: float) -> str:
        """Measure what is due after `done` steps; return the current accuracies in words."""
        task = self._stream.task(done - 1)
        ends = done == self.num_steps or self._stream.task(done) != task
        if done % self.every == 0 or ends:
            self._extend_curve(done, task, loss)
        if ends:
            self._add_row(task)
        return self._describe(task)

    def count(self, task: int, images: int) -> int:
        """Count how many of `images` test images of a task are classified correctly."""
        return self.count_of(*self._tests(task, images), task, self._test_batch)

    def count_of(self, images: Tensor, labels: Tensor, task: int, test_batch: int) -> int:
        """Count how many of these images are classified correctly, in batches of nearly equal size.

        Args:
            images: Shape (n, …).
            labels: Shape (n,).
            task: The task, whose context is used.
            test_batch: Largest size of a batch.
        """
        batches = -(-len(images) // test_batch)
        parts = zip(images.tensor_split(batches), labels.tensor_split(batches), strict=True)
        context = self._stream.test_context(task)
        return sum(self._learner.count_correct(*part, context=context) for part in parts)

    def _extend_curve(self, done: int, task: int, loss: float) -> None:
        curve = self.log["curve"]
        if self._forgets_nothing and task:
            correct = curve["correct"][-1]
        else:
            correct = self.count(0, self._curve_images)
        curve["steps"].append(done)
        curve["correct"].append(correct)
        curve["loss"].append(loss)

    def _add_row(self, task: int) -> None:
        rows, final = self.log["rows"]["correct"], self.log["final"]["correct"]
        counts = self._tests.counts
        if self._forgets_nothing:
            previous = rows[-1] if rows else []
            rows.append([*previous, self.count(task, self._row_images)])
            final.append(self.count(task, counts[task]))
            return
        rows.append([self.count(earlier, self._row_images) for earlier in range(task + 1)])
        if task == self._last:
            final.extend(self.count(earlier, counts[earlier]) for earlier in range(task + 1))

    def _describe(self, task: int) -> str:
        first = 100 * self.log["curve"]["correct"][-1] / self._curve_images
        words = f"task {task}: task 0 at {first:.1f} %"
        if rows := self.log["rows"]["correct"]:
            average = 100 * sum(rows[-1]) / (len(rows[-1]) * self._row_images)
            words += f", mean {average:.1f} %"
        return words
