"""One net for every task: the ceiling."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from experiments.runner import Learner


class Single(Learner):
    """A new net for every task: what no interference would give. Only the last net is kept.

    Args:
        build: The net of a task.
        optimise: Its optimiser.
        options: See `Learner`.
    """

    def __init__(
        self,
        build: Callable[[int], nn.Module],
        optimise: Callable[[nn.Module], torch.optim.Optimizer],
        **options: Any,
    ) -> None:
        """See the class."""
        net = build(0)
        super().__init__(net, optimise(net), **options)
        self._build = build
        self._optimise = optimise

    def begin_task(self, task: int) -> None:
        """Forget all."""
        self.net.load_state_dict(self._build(task).state_dict())
        self.optimiser = self._optimise(self.net)
