"""Superposition that starts from the network of the first task."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from experiments.runner.learner import Learner
from psp_data import Stream


class FromBase(Learner):
    """A plain network learns the first task; later tasks are differences from it.

    After its last step of the first task, the network becomes the base of a superposition. Later
    tasks change model 0 by the interference of their differences, and by training what all models
    share: excluded layers and the biases.

    Args:
        net: The plain network.
        optimise: Builds the optimiser of a network.
        superpose: Returns the superposition of which a network is the base.
        options: See `Learner`.
    """

    def __init__(
        self,
        net: nn.Module,
        optimise: Callable[[nn.Module], torch.optim.Optimizer],
        superpose: Callable[[nn.Module], nn.Module],
        **options: Any,
    ) -> None:
        super().__init__(net, optimise(net), **options)
        self._optimise = optimise
        self._superpose = superpose

    def end_task(self, stream: Stream, done: int) -> None:
        """Superpose the network after the first task."""
        if not self.is_superposed:
            self._start_superposition()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned, in the form that the network had then."""
        if state["is_superposed"] and not self.is_superposed:
            self._start_superposition()
        super().load_state_dict(state)

    def state_dict(self) -> dict[str, Any]:
        """Add whether the network is superposed yet."""
        return {**super().state_dict(), "is_superposed": self.is_superposed}

    def _start_superposition(self) -> None:
        net = self._superpose(self.net)
        self.replace(net, self._optimise(net))
