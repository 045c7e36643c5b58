"""The test images of a run on permuted images, and what it costs to look at them.

At 50 tasks of 1000 steps, 500 images for the curve 8 times a task and 10,000 for a full row of the
accuracy matrix make 200,000 + 255,000 images, and the final row 500,000 more. A net looks at an
image in about the time of a third of a training sample: 4 to 5 % of a run, more than half of it
for the final row. The few images lie evenly over the test set, whose second half is the harder one
in MNIST.
"""

from torch import Tensor

from experiments.runner import evenly
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
        self.counts = [len(self)] * stream.num_tasks

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
