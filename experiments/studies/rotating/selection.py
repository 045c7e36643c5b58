"""Selection of contexts from the images, without a clock, in training and in tests.

- By *appearance*: a context is known by the mean image of its batches. A batch belongs to the
  context with the nearest mean image. It opens a new context if it differs from every mean image
  by more than chance explains. Each context stores as many parameters as an image has pixels.
- By *confidence*: a batch belongs to the context under which the net is most confident. It opens
  a new one if even that confidence is much lower than usual in training.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from experiments.runner.learner import Learner
from psp_nn import infer_context


class Selector(ABC):
    """Selects a context for a batch.

    Args:
        num_contexts: Number of contexts that can be opened.

    Attributes:
        parameters_per_context: Parameters stored for each context.
        used: Number of contexts opened so far: 0 … used − 1.
    """

    parameters_per_context: int

    def __init__(self, num_contexts: int) -> None:
        self.num_contexts = num_contexts
        self.used = 0

    def select(self, samples: Tensor) -> int:
        """Return the context of a training batch, opened if new, and learn from the batch.

        Args:
            samples: Training batch, shape (batch, …).
        """
        context, is_new = self._nearest(samples)
        if not self.used or (is_new and self.used < self.num_contexts):
            context = self.used
            self.used += 1
        self._learn(samples, context)
        return context

    def recognise(self, samples: Tensor) -> int:
        """Return the context of a test batch without changing any state."""
        return self._nearest(samples)[0] if self.used else 0

    def state_dict(self) -> dict[str, Any]:
        """Return all state of the selector; the net has its own."""
        return {
            name: value for name, value in vars(self).items() if not isinstance(value, nn.Module)
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the result of `state_dict`."""
        vars(self).update(state)

    @abstractmethod
    def _nearest(self, samples: Tensor) -> tuple[int, bool]:
        """Return the open context nearest to a batch, and whether the batch is new even to it."""

    @abstractmethod
    def _learn(self, samples: Tensor, context: int) -> None:
        """Update the description of a context with a batch of it."""


class ByAppearance(Selector):
    """Selects the context whose mean image is nearest to that of the batch.

    By chance the squared distance of a batch's mean image from the mean of its distribution is
    Σ variance / batch. A batch is new if its distance from every mean image is `MARGIN` times
    that. On images that rotate by a degree in three steps this opens a context about every 35
    degrees.

    Args:
        num_contexts: Number of contexts that can be opened.
        pixels: Pixels per image.
        device: Device of the samples.

    Example:
        >>> import torch
        >>> from experiments.studies.rotating.selection import ByAppearance
        >>> selector = ByAppearance(num_contexts=5, pixels=2)
        >>> batch = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
        >>> [selector.select(samples) for samples in (batch, batch + 0.1, batch + 9, batch)]
        [0, 0, 1, 0]
        >>> selector.used, selector.recognise(batch + 7)
        (2, 1)
    """

    MARGIN = 6.0

    def __init__(self, num_contexts: int, pixels: int, device: torch.device | str = "cpu") -> None:
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


class ByConfidence(Selector):
    """Selects the context under which the net's answers have the lowest entropy.

    A batch is new if even that entropy is `MARGIN` times the context's recent average. Contexts
    with fewer than `PATIENCE` batches are not tested for this.

    Args:
        num_contexts: Number of contexts that can be opened.
        net: Superposed net.
        images: Images per batch used for the entropy, each in one pass per context.
    """

    MARGIN = 2.0

    PATIENCE = 100
    """Batches in the average of the entropy, and before a context can be left for a new one."""

    parameters_per_context = 1

    def __init__(self, num_contexts: int, net: nn.Module, images: int = 32) -> None:
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
        is_new = self.entropy > self.MARGIN * self.usual[context]
        return context, self.batches[context] >= self.PATIENCE and is_new

    def _learn(self, samples: Tensor, context: int) -> None:
        if self.batches[context]:  # the first batch's entropy is that of another context
            share = 1 / min(self.batches[context], self.PATIENCE)
            self.usual[context] += share * (self.entropy - self.usual[context])
        self.batches[context] += 1


class SelectingLearner(Learner):
    """Learner of a superposed net whose contexts come from a selector instead of the stream.

    Args:
        net: Superposed net.
        optimiser: Optimiser of the net's parameters.
        selector: Selector of the net's contexts.
        options: Options of `Learner`.
    """

    def __init__(
        self,
        net: nn.Module,
        optimiser: torch.optim.Optimizer,
        selector: Selector,
        **options: Any,
    ) -> None:
        super().__init__(net, optimiser, **options)
        self.selector = selector
        self.context = 0

    def use(self, context: int) -> None:
        """Ignore the stream's context."""

    def step(self, samples: Tensor, labels: Tensor) -> Tensor:
        """Select the context of the batch and train on it."""
        self.context = self.selector.select(samples)
        super().use(self.context)
        return super().step(samples, labels)

    def num_parameters(self, tasks: int) -> dict[str, int]:
        """Count the parameters stored, those of the selector included."""
        per_context = self.selector.parameters_per_context
        counts = super().num_parameters(tasks)
        return {
            "total": counts["total"] + tasks * per_context,
            "per_added_model": counts["per_added_model"] + per_context,
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the net, the optimiser and the selector."""
        return {**super().state_dict(), "chooser": self.selector.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the result of `state_dict`."""
        super().load_state_dict(state)
        self.selector.load_state_dict(state["chooser"])
