"""Slowly rotating images: an input distribution that drifts and returns."""

import math
import operator

import torch
from torch import Tensor

from psp_data._images import Images
from psp_data._rotate import rotate
from psp_data._sample_order import SampleOrder
from psp_data._stream import Stream, checked_count


class RotatingStream(Stream):
    """Images rotated a little further at every step, one turn in `period` steps, without end.

    The batch of step t is rotated counter-clockwise by 360°·t/period, so the images are upright
    at step 0 and at the first step of every turn. Each turn is divided evenly into contexts,
    which repeat with every turn, and independently into tasks. A task is tested at the angle of
    its first step, so task 0 is tested at 0°. The paper's three choices of contexts:

    - by window: `num_contexts=10`, a new context every 100 steps;
    - *fast*: `num_contexts=1000`, a new context at every step of the turn;
    - *local mix*: also `num_contexts=1000`; the family of contexts does the mixing, as its
      context k combines the phases of the neighbours of k.

    Args:
        images: Any image set.
        seed: Seed of the order of the samples.
        period: Number of steps in a turn.
        num_contexts: Number of contexts in a turn, at most `period`.
        num_tasks: Number of tasks in a turn, at most `period`.
        batch_size: Number of samples in a batch.
        device: Device of the batches; by default that of the images.

    Raises:
        ValueError: If a count is not positive, a turn has more contexts or tasks than steps, or
            a batch is larger than the train set.

    Source:
        Cheung et al. 2019, section 4.1.3.

    Example:
        >>> from psp_data import RotatingStream, load
        >>> stream = RotatingStream(load("digits"))
        >>> images, labels = stream.train_batch(1250)
        >>> images.shape, images.dtype, labels.shape
        (torch.Size([128, 1, 8, 8]), torch.float32, torch.Size([128]))
        >>> stream.angle(1250), stream.context(1250)
        (90.0, 2)
    """

    def __init__(
        self,
        images: Images,
        seed: int = 1,
        *,
        period: int = 1000,
        num_contexts: int = 10,
        num_tasks: int = 10,
        batch_size: int = 128,
        device: torch.device | str | None = None,
    ) -> None:
        self.images = images if device is None else images.to(device)
        self.seed = operator.index(seed)
        self.period = checked_count("period", period)
        self.num_contexts = checked_count("num_contexts", num_contexts)
        self.num_tasks = checked_count("num_tasks", num_tasks)
        for name, count in (("num_contexts", self.num_contexts), ("num_tasks", self.num_tasks)):
            if count > self.period:
                raise ValueError(
                    f"{name}={count} is more than the {self.period} steps of a turn; use fewer, "
                    "or a longer period."
                )
        self.batch_size = checked_count("batch_size", batch_size)
        self.num_classes = images.num_classes
        self.sample_shape = images.image_shape
        self.device = self.images.device
        self._train = self.images.train_images.flatten(1)
        self._order = SampleOrder(
            len(self._train), self.batch_size, "rotating samples", self.seed, device=self.device
        )

    def angle(self, step: int) -> float:
        """Return the counter-clockwise angle of `step` in degrees, 0 <= angle < 360."""
        return 360 * (self._checked_step(step) % self.period) / self.period

    def train_batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the images of `step`, (batch_size, C, H, W) float32, and labels (batch_size,)."""
        step = self._checked_step(step)
        rows = self._order(step)
        pixels = self._train.index_select(0, rows).view(-1, *self.sample_shape)
        labels = self.images.train_labels.index_select(0, rows)
        return self.images.scaled(rotate(pixels, self.angle(step))), labels

    def task(self, step: int) -> int:
        """Return the task of `step`, one of `num_tasks` equal parts of its turn."""
        return self._checked_step(step) % self.period * self.num_tasks // self.period

    def context(self, step: int) -> int:
        """Return the context of `step`, one of `num_contexts` equal parts of its turn."""
        return self._checked_step(step) % self.period * self.num_contexts // self.period

    def first_step(self, task: int) -> int:
        """Return the step of the first turn at which `task` begins."""
        return -(-self._checked_task(task) * self.period // self.num_tasks)

    def test_set(self, task: int) -> tuple[Tensor, Tensor]:
        """Return the test images at the angle of the task's first step, and their labels."""
        return self.test_set_at(self.angle(self.first_step(task)))

    def test_set_at(self, degrees: float) -> tuple[Tensor, Tensor]:
        """Return the test images rotated counter-clockwise, (N, C, H, W), and their labels (N,).

        Raises:
            ValueError: If `degrees` is not finite.
        """
        if not math.isfinite(degrees):
            raise ValueError(f"degrees={degrees} must be finite.")
        rotated = rotate(self.images.test_images, degrees)
        return self.images.scaled(rotated), self.images.test_labels.clone()

    def _grey(self, samples: Tensor, task: int) -> Tensor:
        return self.images.unscaled(samples)
