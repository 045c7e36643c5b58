"""Accuracy on all tasks of a stream, as a run goes on.

Three things, all as counts of test images that are classified rightly:

- the *curve*: task 0, every so many steps, on some of its images;
- the *rows* of the accuracy matrix: after every task all tasks so far, on as many images each as
  make the same number for a full row, whatever the number of tasks;
- the *final* row, on every test image of every task.
"""

from typing import Protocol

from torch import Tensor

from experiments.methods.single import Single
from experiments.runner import Learner
from experiments.runner.learner import ROWS_AT_ONCE
from experiments.runner.trainer import Log
from psp_data import Stream


class TestSets(Protocol):
    """The test images of every task, or some of them that lie evenly over the set.

    Attributes:
        counts: How many there are of each task.
    """

    counts: list[int]

    def __call__(self, task: int, count: int) -> tuple[Tensor, Tensor]:
        """`count` test images as `task` shows them, and their labels."""


class Accuracies:
    """Measures a learner on the tasks of a stream and keeps the counts in a log; see `train`.

    Args:
        learner: What to measure.
        stream: What it learns from.
        tests: What it is tested on.
        num_steps: How many steps the run has.
        every: How many steps lie between two points of the curve.
        curve_images: On how many images a point of the curve is measured, at the most.
        row_images: On how many images a full row of the accuracy matrix is.
        images_at_once: How many test images go through the network in one batch, at the most.

    Attributes:
        log: `curve` (with `every`, `images`, `steps`, `correct` and `loss`), `rows` (with `images`
            of each task and `correct`, row i about tasks 0..i) and, at the end, `final`, whose
            `images` are one number for all tasks or, where they differ, one for each.
    """

    def __init__(
        self,
        learner: Learner,
        stream: Stream,
        tests: TestSets,
        *,
        num_steps: int,
        every: int,
        curve_images: int,
        row_images: int,
        images_at_once: int = ROWS_AT_ONCE,
    ) -> None:
        """Measure nothing yet."""
        self._learner = learner
        self._stream = stream
        self._tests = tests
        self._num_steps = num_steps
        self._every = every
        self._images_at_once = images_at_once
        self._last = stream.num_tasks - 1
        self._curve_images = min(curve_images, tests.counts[0])
        self._row_images = min(max(1, row_images // stream.num_tasks), *tests.counts)
        alike = len(set(tests.counts)) == 1
        points: dict[str, list[float]] = {"steps": [], "correct": [], "loss": []}
        self.log: Log = {
            "curve": {"every": every, "images": self._curve_images, **points},
            "rows": {"images": self._row_images, "correct": []},
            "final": {"images": tests.counts[0] if alike else tests.counts, "correct": []},
        }

    def __call__(self, done: int, loss: float) -> str:
        """Measure what is due after `done` steps; returns in words what it shows."""
        task = self._stream.task(done - 1)
        ends = self._ends(done, task)
        if done % self._every == 0 or ends:
            self._extend_curve(done, task, loss)
        if ends:
            self._add_row(task)
        return self._in_words(task)

    def count(self, task: int, images: int) -> int:
        """How many of that many test images of a task are classified rightly now."""
        return self.count_of(*self._tests(task, images), task, self._images_at_once)

    def count_of(self, images: Tensor, labels: Tensor, task: int, at_once: int) -> int:
        """How many of these images of a task are, in batches of nearly the same size.

        Args:
            images: Shape (n, …).
            labels: Shape (n,).
            task: Whose context is used.
            at_once: The size of a batch, at the most.
        """
        batches = -(-len(images) // at_once)
        parts = zip(images.tensor_split(batches), labels.tensor_split(batches), strict=True)
        context = self._stream.test_context(task)
        return sum(self._learner.count_correct(*part, context=context) for part in parts)

    def _ends(self, done: int, task: int) -> bool:
        return done == self._num_steps or self._stream.task(done) != task

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
        if self._forgets_nothing:
            before = rows[-1] if rows else []
            rows.append([*before, self.count(task, self._row_images)])
            final.append(self.count(task, self._tests.counts[task]))
            return
        rows.append([self.count(each, self._row_images) for each in range(task + 1)])
        if task == self._last:
            final.extend(self.count(each, self._tests.counts[each]) for each in range(task + 1))

    @property
    def _forgets_nothing(self) -> bool:
        """Whether the nets of earlier tasks stay what they were, so that old counts hold."""
        return isinstance(self._learner, Single)

    def _in_words(self, task: int) -> str:
        first = 100 * self.log["curve"]["correct"][-1] / self._curve_images
        words = f"task {task}: task 0 at {first:.1f} %"
        if rows := self.log["rows"]["correct"]:
            every = 100 * sum(rows[-1]) / (len(rows[-1]) * self._row_images)
            words += f", mean {every:.1f} %"
        return words
