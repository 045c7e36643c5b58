"""Superposition of networks that were fine-tuned apart."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from experiments.methods.fine_tuned import FineTuned
from experiments.runner.added import added_tensors
from experiments.runner.learner import Learner
from psp_data import Stream
from psp_nn import store


class Offline(FineTuned):
    """Networks fine-tuned apart; their differences from the base are superposed afterwards.

    Args:
        net: The plain network.
        optimise: See `FineTuned`.
        superpose: Returns the superposition of which a network is the base.
        options: See `Learner`.
    """

    forgets_nothing = False

    def __init__(
        self,
        net: nn.Module,
        optimise: Callable[[nn.Module], torch.optim.Optimizer],
        superpose: Callable[[nn.Module], nn.Module],
        **options: Any,
    ) -> None:
        super().__init__(net, optimise, **options)
        self._superpose = superpose
        self._together = superpose(net)  # read from the end of the first task on

    def end_task(self, stream: Stream, done: int) -> None:
        """Make the network of the first task the base of the superposition."""
        if not self.base:
            self._together = self._superpose(self.net)
        super().end_task(stream, done)

    def keep(self, stream: Stream, done: int) -> None:
        """Store the network in the superposition, in the context of its task."""
        store(self._together, stream.context(done - 1), self.net)

    def count_correct(self, samples: Tensor, labels: Tensor, context: int | Tensor) -> int:
        """Count with what is read from the superposition; see `Learner`."""
        if not self.base:
            return super().count_correct(samples, labels, context)
        return self._reader().count_correct(samples, labels, context)

    def added_tensors(self) -> dict[str, Tensor]:
        """Return one model's biases and norms."""
        return added_tensors(self._together)

    def num_parameters(self, tasks: int) -> dict[str, int]:
        """Count the parameters of the superposition."""
        return self._reader().num_parameters(tasks)

    def state_dict(self) -> dict[str, Any]:
        """Add the superposition."""
        return {**super().state_dict(), "together": self._together.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        super().load_state_dict(state)
        self._together.load_state_dict(state["together"])

    def _reader(self) -> Learner:
        return Learner(self._together, self.optimiser, precision=self.precision)
