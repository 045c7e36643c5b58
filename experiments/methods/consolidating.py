"""EWC and synaptic intelligence as learners: a plain net with a penalty on forgetting."""

from typing import Any

import torch
from torch import Tensor, nn

from experiments.runner import Learner
from psp_data import Stream
from psp_nn import ElasticWeightConsolidation, SynapticIntelligence


class Consolidating(Learner):
    """A plain net with a penalty on moving what earlier tasks need.

    Args:
        net: See `Learner`.
        optimiser: See `Learner`.
        penalty: Of that net.
        options: See `Learner`.
    """

    def __init__(
        self,
        net: nn.Module,
        optimiser: torch.optim.Optimizer,
        penalty: ElasticWeightConsolidation | SynapticIntelligence,
        **options: Any,
    ) -> None:
        """See the class."""
        super().__init__(net, optimiser, **options)
        self._penalty = penalty

    def state_dict(self) -> dict[str, Any]:
        """Also what the penalty has learned of the earlier tasks."""
        return {**super().state_dict(), "penalty": self._penalty.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        super().load_state_dict(state)
        self._penalty.load_state_dict(state["penalty"])


class EWC(Consolidating):
    """Elastic weight consolidation: the penalty is part of the loss.

    Args:
        net: See `Learner`.
        optimiser: See `Learner`.
        strength: λ.
        online: See `psp_nn.ElasticWeightConsolidation`.
        fisher_images: Of how many of a task's last training images to take the Fisher information.
        options: See `Learner`.
    """

    _penalty: ElasticWeightConsolidation

    def __init__(
        self,
        net: nn.Module,
        optimiser: torch.optim.Optimizer,
        *,
        strength: float,
        fisher_images: int,
        online: bool = False,
        **options: Any,
    ) -> None:
        """See the class."""
        penalty = ElasticWeightConsolidation(net, strength=strength, online=online)
        super().__init__(net, optimiser, penalty, **options)
        self._fisher_images = fisher_images

    def end_task(self, stream: Stream, done: int) -> None:
        """Add the task's Fisher information."""
        batches = -(-self._fisher_images // stream.batch_size)
        first = max(stream.first_step(stream.task(done - 1)), done - batches)
        images = torch.cat([stream.train_batch(step)[0] for step in range(first, done)])
        self._penalty.consolidate([images[-self._fisher_images :]])

    def _loss(self, samples: Tensor, labels: Tensor) -> Tensor:
        return super()._loss(samples, labels) + self._penalty.penalty()


class SI(Consolidating):
    """Synaptic intelligence: the penalty surrounds the optimiser's step.

    Args:
        net: See `Learner`.
        optimiser: See `Learner`.
        strength: c.
        options: See `Learner`.
    """

    _penalty: SynapticIntelligence

    def __init__(
        self, net: nn.Module, optimiser: torch.optim.Optimizer, *, strength: float, **options: Any
    ) -> None:
        """See the class."""
        super().__init__(net, optimiser, SynapticIntelligence(net, strength=strength), **options)

    def step(self, samples: Tensor, labels: Tensor) -> Tensor:
        """Learn from one batch, and follow what its loss falls by."""
        loss = self._differentiate(samples, labels)
        with self._penalty.step():
            self.optimiser.step()
        return loss

    def end_task(self, stream: Stream, done: int) -> None:
        """What the loss fell by becomes important."""
        self._penalty.consolidate()
