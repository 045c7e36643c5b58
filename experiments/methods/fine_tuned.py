"""Networks fine-tuned apart from the network of the first task."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from experiments.runner.added import floating
from experiments.runner.learner import Learner, count_parameters
from psp_data import Stream


class FineTuned(Learner):
    """Every later task fine-tunes all weights of the network of the first task.

    Only the network of the latest task is in memory; a file would hold them all.

    Args:
        net: The network.
        optimise: Builds the optimiser of the network, once for each task.
        options: See `Learner`.

    Attributes:
        base: State of the network after the first task; {} before.
    """

    forgets_nothing = True

    def __init__(
        self,
        net: nn.Module,
        optimise: Callable[[nn.Module], torch.optim.Optimizer],
        **options: Any,
    ) -> None:
        super().__init__(net, optimise(net), **options)
        self._optimise = optimise
        self.base: dict[str, Tensor] = {}

    def begin_task(self, task: int) -> None:
        """Start a later task from the network of the first one, with a new optimiser."""
        if task:
            self.net.load_state_dict(self.base)
            self.optimiser = self._optimise(self.net)
        super().begin_task(task)

    def end_task(self, stream: Stream, done: int) -> None:
        """Keep the network of the first task, and what is to be kept of a later one."""
        if self.base:
            self.keep(stream, done)
        else:
            self.base = {name: value.clone() for name, value in self.net.state_dict().items()}

    def keep(self, stream: Stream, done: int) -> None:
        """Keep a later task's network; subclasses replace it by what they keep of it."""

    def added_tensors(self) -> dict[str, Tensor]:
        """Return the whole network."""
        return floating(self.net.state_dict())

    def num_parameters(self, tasks: int) -> dict[str, int]:
        """Count one network, and for each added model what is kept of it."""
        total = sum(map(count_parameters, floating(self.net.state_dict()).values()))
        added = self.added_parameters()
        return {"total": total + (tasks - 1) * added, "per_added_model": added}

    def added_parameters(self) -> int:
        """Count the parameters kept of a later task's network."""
        return sum(map(count_parameters, self.added_tensors().values()))

    def state_dict(self) -> dict[str, Any]:
        """Add the network of the first task."""
        return {**super().state_dict(), "base": self.base}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        super().load_state_dict(state)
        self.base = state["base"]
