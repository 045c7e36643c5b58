"""One network for every task: the upper bound without interference."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from experiments.runner.added import floating
from experiments.runner.learner import Learner


class SeparateNets(Learner):
    """A new network for every task, of which only the last one is kept.

    Args:
        build: Builds the network of a task.
        optimise: Builds the optimiser of a network.
        options: See `Learner`.
    """

    forgets_nothing = True

    def __init__(
        self,
        build: Callable[[int], nn.Module],
        optimise: Callable[[nn.Module], torch.optim.Optimizer],
        **options: Any,
    ) -> None:
        net = build(0)
        super().__init__(net, optimise(net), **options)
        self._build = build
        self._optimise = optimise

    def begin_task(self, task: int) -> None:
        """Start with the network of the task."""
        self.net.load_state_dict(self._build(task).state_dict())
        self.optimiser = self._optimise(self.net)

    def added_tensors(self) -> dict[str, Tensor]:
        """Return the whole network."""
        return floating(self.net.state_dict())

    def num_parameters(self, tasks: int) -> dict[str, int]:
        """Count one network for every task."""
        per_net = super().num_parameters(tasks=1)["total"]
        return {"total": tasks * per_net, "per_added_model": per_net}
