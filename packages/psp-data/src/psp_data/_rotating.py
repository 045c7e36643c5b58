"""Slowly turning images: an input distribution that drifts and comes back."""

import torch
from torch import Tensor

from psp_data._arguments import checked_count, checked_integer, checked_number, checked_step
from psp_data._images import Images, images_on
from psp_data._rotate import rotate
from psp_data._sample_order import SampleOrder
from psp_data._stream import Stream


class RotatingStream(Stream):
    """The images turned a little further at every step, one turn in `period` steps, for ever.

    The batch of step t is turned counter-clockwise by 360°·t/period; step 0 and every step that
    begins a turn show the images as they are. A turn is divided evenly into contexts, which
    return with every turn, and, independently, into tasks: a task is tested at the angle at
    which its part of the turn begins, so task 0 at 0°. The paper's three choices of context:

    - by window: `num_contexts=10`, a new context every 100 steps;
    - *fast*: `num_contexts=1000`, a new one at every step of the turn;
    - *local mix*: `num_contexts=1000` as well; the mixing is done by the family of contexts,
      whose context k is made of the phases of its neighbours in time.

    Args:
        images: Any image set.
        seed: Draws the order of the samples.
        period: Steps in a turn.
        num_contexts: How many contexts a turn is divided into, at most `period`.
        num_tasks: How many parts of the turn are told apart in testing, at most `period`.
        batch_size: Samples in a batch.
        device: Where the batches are wanted; by default where the images lie.

    Raises:
        ValueError: If a number is not positive, a turn is divided into more parts than it has
            steps, a batch is larger than the train set, or the device is not there.
        TypeError: If an argument is of another type.

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
        """Take the images to the device; draw nothing yet."""
        self.images = images_on(device, images)
        self.seed = checked_integer("seed", seed)
        self.period = checked_count("period", period)
        self.num_contexts = self._checked_parts("num_contexts", num_contexts)
        self.num_tasks = self._checked_parts("num_tasks", num_tasks)
        self.batch_size = checked_count("batch_size", batch_size)
        self.num_classes = images.num_classes
        self.sample_shape = images.image_shape
        self.device = self.images.device
        self._train = self.images.train_images.flatten(1)
        self._order = SampleOrder(
            len(self._train), self.batch_size, "rotating samples", self.seed, device=self.device
        )

    def angle(self, step: int) -> float:
        """How far the batch of `step` is turned counter-clockwise, degrees, 0 <= angle < 360."""
        return 360 * (checked_step(step) % self.period) / self.period

    def train_batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The images of `step`, (batch_size, C, H, W) float32, and their labels (batch_size,)."""
        step = checked_step(step)
        angle = self.angle(step)
        chosen = self._order(step)
        pixels = self._train.index_select(0, chosen).view(-1, *self.sample_shape)
        labels = self.images.train_labels.index_select(0, chosen)
        return self.images.scaled(rotate(pixels, angle)), labels

    def task(self, step: int) -> int:
        """The part of the turn that `step` falls in, of `num_tasks`."""
        return checked_step(step) % self.period * self.num_tasks // self.period

    def context(self, step: int) -> int:
        """The part of the turn that `step` falls in, of `num_contexts`."""
        return checked_step(step) % self.period * self.num_contexts // self.period

    def first_step(self, task: int) -> int:
        """The step of the first turn at which the part of `task` begins."""
        return -(-self._checked_task(task) * self.period // self.num_tasks)

    def test_set(self, task: int) -> tuple[Tensor, Tensor]:
        """The test images at the angle of the task's first step, (N, C, H, W), and their labels."""
        return self.test_set_at(self.angle(self.first_step(task)))

    def test_set_at(self, degrees: float) -> tuple[Tensor, Tensor]:
        """The test images turned counter-clockwise by any angle, (N, C, H, W), and their labels.

        Raises:
            TypeError: If the angle is no real number.
            ValueError: If it is not finite.
        """
        turned = rotate(self.images.test_images, checked_number("degrees", degrees))
        return self.images.scaled(turned), self.images.test_labels.clone()

    def _grey(self, samples: Tensor, task: int) -> Tensor:
        return self.images.unscaled(samples)

    def _checked_parts(self, name: str, parts: int) -> int:
        parts = checked_count(name, parts)
        if parts > self.period:
            raise ValueError(
                f"{name}={parts} is more than the {self.period} steps of a turn; use "
                f"{self.period} or less, or a longer period."
            )
        return parts
