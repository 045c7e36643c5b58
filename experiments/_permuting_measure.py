"""What a run on permuted images measures, when, and how little it costs.

Three things, all as counts of test images that are classified rightly:

- the *curve*: task 0, every so many steps, on a few hundred images;
- the *rows* of the accuracy matrix: after every task all tasks so far, on as many images each as
  make the same number for a full row, whatever the number of tasks;
- the *final* row, on every test image of every task.

The few images lie evenly over the test set, whose second half is the harder one in MNIST. At 50
tasks of 1000 steps, 500 images for the curve 8 times a task and 10,000 for a full row make
200,000 + 255,000 + 500,000 images, and a net looks at an image in about the time of a third of a
training sample: 4 to 5 % of a run, more than half of it for the final row.
"""

from torch import Tensor

from experiments.methods import Single
from experiments.runner import Learner, evenly
from experiments.runner.trainer import Log
from psp_data import PermutingStream


class TestSets:
    """The test images of every task, or some of them that lie evenly over the set.

    Args:
        stream: Whose tasks; the scaled images are kept once, in their own order of pixels.
    """

    __test__ = False  # no class of tests

    def __init__(self, stream: PermutingStream) -> None:
        """Scale the images once: every task needs them, in another order."""
        self._stream = stream
        self._images = stream.images.scaled(stream.images.test_images.flatten(1))
        self._labels = stream.images.test_labels

    def __len__(self) -> int:
        """How many test images there are."""
        return len(self._labels)

    def __call__(self, task: int, count: int) -> tuple[Tensor, Tensor]:
        """`count` test images as `task` shows them, and their labels."""
        images, labels = self._images, self._labels
        if count < len(self):
            chosen = evenly(len(self), count, labels.device)
            images, labels = images.index_select(0, chosen), labels.index_select(0, chosen)
        return images.index_select(1, self._stream.permutation(task)) if task else images, labels


class Measurement:
    """Measures a learner on permuted images and keeps the counts in a log.

    Args:
        learner: What to measure.
        stream: What it learns from.
        every: How many steps lie between two points of the curve.
        curve_images: On how many images a point of the curve is measured, at the most.
        row_images: On how many images a full row of the accuracy matrix is.

    Attributes:
        log: `curve` (with `every`, `images`, `steps`, `correct` and `loss`), `rows` (with `images`
            and `correct`, row i about tasks 0..i) and, at the end, `final`.
    """

    def __init__(
        self,
        learner: Learner,
        stream: PermutingStream,
        *,
        every: int,
        curve_images: int,
        row_images: int,
    ) -> None:
        """Measure nothing yet."""
        self._learner = learner
        self._stream = stream
        self._tests = TestSets(stream)
        self._every = every
        self._curve_images = min(curve_images, len(self._tests))
        self._row_images = min(max(1, row_images // stream.num_tasks), len(self._tests))
        points: dict[str, list[float]] = {"steps": [], "correct": [], "loss": []}
        self.log: Log = {
            "curve": {"every": every, "images": self._curve_images, **points},
            "rows": {"images": self._row_images, "correct": []},
            "final": {"images": len(self._tests), "correct": []},
        }

    def __call__(self, done: int, loss: float) -> str:
        """Measure what is due after `done` steps; returns in words what it shows."""
        task = self._stream.task(done - 1)
        ends = done == self._stream.num_steps or self._stream.task(done) != task
        if done % self._every == 0 or ends:
            self._extend_curve(done, task, loss)
        if ends:
            self._add_row(task)
        return self._in_words(task)

    def _extend_curve(self, done: int, task: int, loss: float) -> None:
        curve = self.log["curve"]
        if self._forgets_nothing and task:
            correct = curve["correct"][-1]
        else:
            correct = self._count(0, self._curve_images)
        curve["steps"].append(done)
        curve["correct"].append(correct)
        curve["loss"].append(loss)

    def _add_row(self, task: int) -> None:
        rows, final = self.log["rows"]["correct"], self.log["final"]["correct"]
        if self._forgets_nothing:
            before = rows[-1] if rows else []
            rows.append([*before, self._count(task, self._row_images)])
            final.append(self._count(task, len(self._tests)))
            return
        rows.append([self._count(each, self._row_images) for each in range(task + 1)])
        if task + 1 == self._stream.num_tasks:
            final.extend(self._count(each, len(self._tests)) for each in range(task + 1))

    @property
    def _forgets_nothing(self) -> bool:
        """Whether the nets of earlier tasks stay what they were, so that old counts hold."""
        return isinstance(self._learner, Single)

    def _count(self, task: int, images: int) -> int:
        return self._learner.count_correct(*self._tests(task, images), context=task)

    def _in_words(self, task: int) -> str:
        first = 100 * self.log["curve"]["correct"][-1] / self._curve_images
        words = f"task {task}: task 0 at {first:.1f} %"
        if rows := self.log["rows"]["correct"]:
            every = 100 * sum(rows[-1]) / (len(rows[-1]) * self._row_images)
            words += f", mean {every:.1f} %"
        return words
