"""Measurements on incremental CIFAR: the accuracies, and what batches and statistics do to them.

At the paper's size (5 tasks of 20,000 steps of 128 images) the tests take half a million images:
200 points of the curve on 2000 each, rows on 5000 each, and all 14,000 at the end. A test image
costs a third of a training image, so that is 1.3 % of a run.
"""

from collections.abc import Iterator
from copy import deepcopy

from torch import Tensor
from torch.optim.swa_utils import update_bn

from experiments.methods.accuracies import Accuracies
from experiments.runner.images import take_evenly
from psp_data import IncrementalStream

TEST_BATCHES = (10, 100, 1000)
"""Sizes of the mixed test batches that are compared."""

ONE_CLASS = 100
"""Size of the test batches of one class."""

STATISTICS_IMAGES = 1000
"""Least number of training images, without labels, to estimate statistics again from."""


class TestImages:
    """Test images of every task, scaled once.

    Args:
        stream: Stream of the tasks.
    """

    __test__ = False  # not a test class

    def __init__(self, stream: IncrementalStream) -> None:
        self._sets = [stream.test_set(task) for task in range(stream.num_tasks)]
        self.counts = [len(labels) for _, labels in self._sets]

    def __call__(self, task: int, count: int) -> tuple[Tensor, Tensor]:
        """Return `count` evenly spaced test images of a task, and their labels."""
        return take_evenly(*self._sets[task], count)


class IncrementalMeasurement(Accuracies):
    """`Accuracies` that end with comparisons of test batches and of statistics.

    The paper's BatchNorm uses the statistics of the batch, so the answer for an image depends on
    the images beside it. After the last step, the images of the last task, which is not forgotten
    yet, are shown in mixed batches of several sizes and in batches of one class.

    Statistics that a norm has stored become outdated while later tasks are learned. So every
    task is also tested after they have been estimated again, from training images of that task.

    Attributes:
        log: That of `Accuracies` and, at the end, `test_batches`: counts of correct answers on
            `images` images of the last task, `correct` in mixed batches of `sizes`, and
            `one_class_correct` in batches of one class of `one_class_size`. With stored statistics
            that training can outdate also `new_statistics`: `correct` for every task on all its
            test images, after estimating from `images` training images.
    """

    def __call__(self, done: int, loss: float) -> str:
        """Take the measurements due after `done` steps and return a progress message."""
        message = super().__call__(done, loss)
        if done == self.num_steps:
            self.log["test_batches"] = self._compare_test_batches()
            if self._can_outdate:
                self.log["new_statistics"] = self._test_with_new_statistics()
        return message

    @property
    def tested(self) -> int:
        """Number of test images in the whole run."""
        points = self.num_steps // self.every + self._stream.num_tasks
        rows = self._row_images * self._stream.num_tasks * (self._stream.num_tasks + 1) // 2
        batches = (len(TEST_BATCHES) + 1) * max(TEST_BATCHES)
        rows += (1 + self._can_outdate) * sum(self._tests.counts)
        return points * self._curve_images + rows + batches

    @property
    def _can_outdate(self) -> bool:
        """True if norms store statistics of a network that is trained after the task."""
        stored = any(name.endswith("running_mean") for name, _ in self._learner.net.named_buffers())
        return stored and not self._forgets_nothing

    def _test_with_new_statistics(self) -> dict[str, object]:
        learner, correct = self._learner, []
        stored = deepcopy(learner.net.state_dict())
        for task, count in enumerate(self._tests.counts):
            learner.use(self._stream.test_context(task))
            update_bn(self._training_images(task), learner.net)
            correct.append(self.count(task, count))
            learner.net.load_state_dict(stored)
        return {"images": self._statistics_steps * self._stream.batch_size, "correct": correct}

    @property
    def _statistics_steps(self) -> int:
        """Number of training batches that hold `STATISTICS_IMAGES` images."""
        batches = -(-STATISTICS_IMAGES // self._stream.batch_size)
        return min(batches, self._stream.steps_per_task)

    def _training_images(self, task: int) -> Iterator[Tensor]:
        """Yield the first batches of a task."""
        first = self._stream.first_step(task)
        for step in range(first, first + self._statistics_steps):
            yield self._stream.train_batch(step)[0]

    def _compare_test_batches(self) -> dict[str, object]:
        task = self._last
        images, labels = self._tests(task, max(TEST_BATCHES))
        one_class_correct = 0
        for label in labels.unique():
            of_class = labels == label
            one_class_correct += self.count_of(images[of_class], labels[of_class], task, ONE_CLASS)
        return {
            "images": len(images),
            "sizes": list(TEST_BATCHES),
            "correct": [self.count_of(images, labels, task, size) for size in TEST_BATCHES],
            "one_class_size": ONE_CLASS,
            "one_class_correct": one_class_correct,
        }
