"""What a run on incremental CIFAR measures besides the accuracies: what the test batch changes.

At the paper's size (5 tasks of 20,000 steps of 128 images) 200 points of the curve on 2000 images,
the rows on 5000 images each and all 14,000 images at the end come to half a million test images,
1.3 % of a run, as a test image costs a third of a training image.
"""

from torch import Tensor

from experiments.methods import Accuracies
from experiments.runner import Learner, evenly
from psp_data import IncrementalStream

TEST_BATCHES = (10, 100, 1000)
"""The sizes of test batches that are compared."""

ONE_CLASS = 100
"""The size of test batches that show one class."""


class TestSets:
    """The test images of every task, scaled once.

    Args:
        stream: Whose tasks.
    """

    __test__ = False  # no class of tests

    def __init__(self, stream: IncrementalStream) -> None:
        """See the class."""
        self._sets = [stream.test_set(task) for task in range(stream.num_tasks)]
        self.counts = [len(labels) for _, labels in self._sets]

    def __call__(self, task: int, count: int) -> tuple[Tensor, Tensor]:
        """`count` test images of a task that lie evenly over the set, and their labels."""
        images, labels = self._sets[task]
        if count >= len(labels):
            return images, labels
        chosen = evenly(len(labels), count, labels.device)
        return images.index_select(0, chosen), labels.index_select(0, chosen)


class IncrementalMeasurement(Accuracies):
    """A `Accuracies` that ends with a comparison of test batches.

    With the paper's BatchNorm, which takes its statistics from the batch that it is given, what a
    network says of an image depends on the images beside it. So, after the last step, the images
    of the last task, of which nothing is forgotten yet, are shown in batches of several sizes and
    in batches of one class.

    Args:
        learner: What to measure.
        stream: What it learns from.
        every: See `Accuracies`.
        curve_images: See `Accuracies`.
        row_images: See `Accuracies`.
        test_batch: See `Accuracies.images_at_once`.

    Attributes:
        log: That of `Accuracies` and, at the end, `test_batches`: of so many `images` of the
            last task, `correct` are classified rightly in mixed batches of `sizes`, and
            `one_class_correct` in batches of one class, of `one_class_size`.
    """

    def __init__(
        self,
        learner: Learner,
        stream: IncrementalStream,
        *,
        every: int,
        curve_images: int,
        row_images: int,
        test_batch: int,
    ) -> None:
        """Measure nothing yet."""
        tests = TestSets(stream)
        super().__init__(
            learner,
            stream,
            tests,
            num_steps=stream.num_steps,
            every=every,
            curve_images=curve_images,
            row_images=row_images,
            images_at_once=test_batch,
        )
        self._tests = tests

    def __call__(self, done: int, loss: float) -> str:
        """Measure what is due after `done` steps; returns in words what it shows."""
        words = super().__call__(done, loss)
        if done == self._num_steps:
            self.log["test_batches"] = self._compare_test_batches()
        return words

    @property
    def tested(self) -> int:
        """How many test images the whole run shows."""
        points = self._num_steps // self._every + self._stream.num_tasks
        rows = self._row_images * self._stream.num_tasks * (self._stream.num_tasks + 1) // 2
        batches = (len(TEST_BATCHES) + 1) * max(TEST_BATCHES)
        return points * self._curve_images + rows + sum(self._tests.counts) + batches

    def _compare_test_batches(self) -> dict[str, object]:
        task = self._last
        images, labels = self._tests(task, max(TEST_BATCHES))
        one_class = [labels == label for label in labels.unique()]
        return {
            "images": len(images),
            "sizes": list(TEST_BATCHES),
            "correct": [self.count_of(images, labels, task, size) for size in TEST_BATCHES],
            "one_class_size": ONE_CLASS,
            "one_class_correct": sum(
                self.count_of(images[chosen], labels[chosen], task, ONE_CLASS)
                for chosen in one_class
            ),
        }
