"""Contexts that are chosen by looking at the images, where no clock tells them.

Two ways, for training and for testing:

- by *appearance*: a context is known by the mean image of the batches that were given to it. A
  batch belongs to the context whose mean image is nearest, and to one that is still unused where
  all differ from it by more than chance explains. It costs as many numbers per context as an
  image has pixels.
- by *confidence*: a batch belongs to the context under which the net is surest of its answers,
  and to an unused one where even that is much less sure than it usually is in training.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from experiments.runner import Learner
from psp_nn import infer_context


class Chooser(ABC):
    """Chooses a context for a batch.

    Args:
        num_contexts: How many there are.

    Attributes:
        parameters_per_context: How many numbers it has to keep for each.
        used: How many have been opened so far: 0 … used − 1.
    """

    parameters_per_context: int

    def __init__(self, num_contexts: int) -> None:
        """None has been opened."""
        self.num_contexts = num_contexts
        self.used = 0

    def choose(self, samples: Tensor) -> int:
        """The context of a batch to be trained on, opened if need be; learns from the batch.

        Args:
            samples: Shape (batch, …).
        """
        context, is_new = self._nearest(samples)
        if not self.used or (is_new and self.used < self.num_contexts):
            context = self.used
            self.used += 1
        self._learn(samples, context)
        return context

    def recognise(self, samples: Tensor) -> int:
        """The context of a batch to be tested on; changes nothing."""
        return self._nearest(samples)[0] if self.used else 0

    def state_dict(self) -> dict[str, Any]:
        """All that the next choice depends on, besides the net."""
        return {
            name: value for name, value in vars(self).items() if not isinstance(value, nn.Module)
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        vars(self).update(state)

    @abstractmethod
    def _nearest(self, samples: Tensor) -> tuple[int, bool]:
        """The opened context that a batch resembles most, and whether it is new to that, too."""

    @abstractmethod
    def _learn(self, samples: Tensor, context: int) -> None:
        """Remember how a batch of a context looks."""


class ByAppearance(Chooser):
    """The context whose mean image is nearest to that of the batch.

    The squared distance of a batch's mean image from the mean of all images like it is
    Σ variance / batch by chance; a batch is new where it is `MARGIN` times that from every one.
    On images that turn by a degree in three steps that is a new context about every 35 degrees.

    Args:
        num_contexts: See `Chooser`.
        pixels: Numbers in a sample.
        device: Where the samples lie.

    Example:
        >>> import torch
        >>> from experiments._rotating_choosing import ByAppearance
        >>> chooser = ByAppearance(num_contexts=5, pixels=2)
        >>> here = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
        >>> [chooser.choose(batch) for batch in (here, here + 0.1, here + 9, here)]
        [0, 0, 1, 0]
        >>> chooser.used, chooser.recognise(here + 7)
        (2, 1)
    """

    MARGIN = 6.0

    def __init__(self, num_contexts: int, pixels: int, device: torch.device | str = "cpu") -> None:
        """See the class."""
        super().__init__(num_contexts)
        self.parameters_per_context = pixels
        self.means = torch.zeros(num_contexts, pixels, device=device)
        self.batches = torch.zeros(num_contexts, dtype=torch.int64, device=device)

    def _nearest(self, samples: Tensor) -> tuple[int, bool]:
        if not self.used:
            return 0, True
        flat = samples.flatten(1)
        distances = (self.means[: self.used] - flat.mean(0)).square().sum(1)
        by_chance = flat.var(0).sum() / len(flat)
        nearest, context = distances.min(0)
        return int(context), bool(nearest > self.MARGIN * by_chance)

    def _learn(self, samples: Tensor, context: int) -> None:
        self.batches[context] += 1
        difference = samples.flatten(1).mean(0) - self.means[context]
        self.means[context] += difference / self.batches[context]


class ByConfidence(Chooser):
    """The context under which the net's answers have the least entropy.

    A batch is new where even that is `MARGIN` times what the context's entropy has been in
    training of late; a context that has not been trained for long is not judged.

    Args:
        num_contexts: See `Chooser`.
        net: Superposed.
        images: Of how many images of a batch the entropy is taken: it costs a pass for every
            context.
    """

    MARGIN = 2.0

    PATIENCE = 100
    """Over how many batches the entropy is averaged, and how many a context has at the least."""

    parameters_per_context = 1

    def __init__(self, num_contexts: int, net: nn.Module, images: int = 32) -> None:
        """See the class."""
        super().__init__(num_contexts)
        self._net = net
        self.images = images
        self.batches = [0] * num_contexts
        self.usual = [0.0] * num_contexts
        self.entropy = 0.0

    def _nearest(self, samples: Tensor) -> tuple[int, bool]:
        if not self.used:
            return 0, True
        evidence = infer_context(self._net, samples[: self.images]).evidence[: self.used]
        context = int(evidence.argmax())
        self.entropy = -float(evidence[context])
        is_judged = self.batches[context] >= self.PATIENCE
        is_new = self.entropy > self.MARGIN * self.usual[context]
        return context, is_judged and is_new

    def _learn(self, samples: Tensor, context: int) -> None:
        if self.batches[context]:  # the first was chosen by the entropy under another context
            share = 1 / min(self.batches[context], self.PATIENCE)
            self.usual[context] += share * (self.entropy - self.usual[context])
        self.batches[context] += 1


class Choosing(Learner):
    """A superposed net whose contexts a chooser chooses; the stream's own are not listened to.

    Args:
        net: See `Learner`.
        optimiser: See `Learner`.
        chooser: Of its contexts.
        options: See `Learner`.
    """

    def __init__(
        self,
        net: nn.Module,
        optimiser: torch.optim.Optimizer,
        chooser: Chooser,
        **options: Any,
    ) -> None:
        """See the class."""
        super().__init__(net, optimiser, **options)
        self.chooser = chooser
        self.context = 0

    def use(self, context: int) -> None:
        """Do nothing: the images tell the context."""

    def step(self, samples: Tensor, labels: Tensor) -> Tensor:
        """Choose the context of the batch, and learn from it."""
        self.context = self.chooser.choose(samples)
        super().use(self.context)
        return super().step(samples, labels)

    def state_dict(self) -> dict[str, Any]:
        """Also what the chooser has learned."""
        return {**super().state_dict(), "chooser": self.chooser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        super().load_state_dict(state)
        self.chooser.load_state_dict(state["chooser"])
