"""Learners with a penalty on forgetting: EWC and synaptic intelligence."""

from typing import Any

import torch
from torch import Tensor, nn

from experiments.runner.learner import Learner
from psp_data import Stream
from psp_nn import ElasticWeightConsolidation, SynapticIntelligence


class PenalisedLearner(Learner):
    """A plain network with a penalty on changes of weights that earlier tasks need.

    Args:
        net: See `Learner`.
        optimiser: See `Learner`.
        penalty: The penalty on that network.
        options: See `Learner`.
    """

    def __init__(
        self,
        net: nn.Module,
        optimiser: torch.optim.Optimizer,
        penalty: ElasticWeightConsolidation | SynapticIntelligence,
        **options: Any,
    ) -> None:
        super().__init__(net, optimiser, **options)
        self._penalty = penalty

    def state_dict(self) -> dict[str, Any]:
        """Add the state of the penalty to that of the network."""
        return {**super().state_dict(), "penalty": self._penalty.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        super().load_state_dict(state)
        self._penalty.load_state_dict(state["penalty"])


class EWC(PenalisedLearner):
    """Elastic weight consolidation: the penalty is part of the loss.

    Args:
        net: See `Learner`.
        optimiser: See `Learner`.
        strength: λ.
        online: See `psp_nn.ElasticWeightConsolidation`.
        fisher_images: Number of a task's last training images for the Fisher information.
        options: See `Learner`.
    """

    copies = 3
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
        penalty = ElasticWeightConsolidation(net, strength=strength, online=online)
        super().__init__(net, optimiser, penalty, **options)
        self._fisher_images = fisher_images

    def end_task(self, stream: Stream, done: int) -> None:
        """Add the Fisher information of the task."""
        batches = -(-self._fisher_images // stream.batch_size)
        first = max(stream.first_step(stream.task(done - 1)), done - batches)
        images = torch.cat([stream.train_batch(step)[0] for step in range(first, done)])
        self._penalty.consolidate([images[-self._fisher_images :]])

    def _loss(self, samples: Tensor, labels: Tensor) -> Tensor:
        return super()._loss(samples, labels) + self._penalty.penalty()


class SI(PenalisedLearner):
    """Synaptic intelligence: the penalty follows the optimiser's steps.

    Args:
        net: See `Learner`.
        optimiser: See `Learner`.
        strength: c.
        options: See `Learner`.
    """

    copies = 4
    _penalty: SynapticIntelligence

    def __init__(
        self, net: nn.Module, optimiser: torch.optim.Optimizer, *, strength: float, **options: Any
    ) -> None:
        super().__init__(net, optimiser, SynapticIntelligence(net, strength=strength), **options)

    def step(self, samples: Tensor, labels: Tensor) -> Tensor:
        """Learn from one batch, and record how far each weight lowers the loss."""
        loss = self._differentiate(samples, labels)
        with self._penalty.step():
            self.optimiser.step()
        return loss

    def end_task(self, stream: Stream, done: int) -> None:
        """Convert the recorded path of the task to importance."""
        self._penalty.consolidate()
