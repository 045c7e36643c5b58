"""One output layer for every task: the usual remedy for output interference."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from experiments.methods.penalised import EWC, SI
from experiments.runner.learner import Learner, count_parameters


class Heads(nn.ModuleList):
    """Output layers, of which one is in use for all samples, or one for each.

    Attributes:
        current: Index of the head in use, or a LongTensor with one per sample, shape (batch,).

    Example:
        >>> import torch
        >>> from experiments.methods.multi_head import Heads
        >>> heads = Heads(torch.nn.Linear(4, 2) for _ in range(3))
        >>> heads.current = torch.tensor([0, 2, 2, 1, 0])
        >>> features = torch.ones(5, 4)
        >>> torch.equal(heads(features)[1], heads[2](features)[1])
        True
    """

    current: int | Tensor = 0

    def forward(self, features: Tensor) -> Tensor:
        """Compute the logits of the heads in use, (batch, classes), from (batch, length)."""
        if isinstance(self.current, int):
            logits: Tensor = self[self.current](features)
            return logits
        all_logits = torch.stack([head(features) for head in self], 1)
        return all_logits[torch.arange(len(features), device=features.device), self.current]


def add_heads(build: Callable[[int], nn.Module], tasks: int) -> nn.Module:
    """Build a network with one output layer for each task instead of one for all.

    Args:
        build: Builds the network of a task, whose last linear layer is the head of that task. The
            other layers are those of task 0.
        tasks: Number of heads.

    Example:
        >>> import torch
        >>> from experiments.methods.multi_head import add_heads
        >>> net = add_heads(lambda task: torch.nn.Sequential(torch.nn.Linear(4, 2)), tasks=3)
        >>> sum(value.numel() for value in net.parameters())
        30
    """
    nets = [build(task) for task in range(tasks)]
    name = [name for name, layer in nets[0].named_modules() if isinstance(layer, nn.Linear)][-1]
    parent, _, last = name.rpartition(".")
    heads = Heads(net.get_submodule(name) for net in nets)
    nets[0].get_submodule(parent).register_module(last, heads)
    return nets[0]


class MultiHead(Learner):
    """A learner whose context selects the head; its network has `Heads`."""

    def use(self, context: int) -> None:
        """Select the model of `context` and its head."""
        super().use(context)
        self._heads().current = context

    def num_parameters(self, tasks: int) -> dict[str, int]:
        """Count a head for each added model, with all its copies."""
        counts = super().num_parameters(tasks)
        head = sum(count_parameters(value) for value in self._heads()[0].parameters())
        return counts | {"per_added_model": counts["per_added_model"] + self.copies * head}

    @contextmanager
    def _using(self, context: int | Tensor) -> Iterator[None]:
        heads = self._heads()
        previous = heads.current
        heads.current = context
        try:
            with super()._using(context):
                yield
        finally:
            heads.current = previous

    def _heads(self) -> Heads:
        return next(module for module in self.net.modules() if isinstance(module, Heads))


class MultiHeadEWC(MultiHead, EWC):
    """Elastic weight consolidation with one head for each task."""


class MultiHeadSI(MultiHead, SI):
    """Synaptic intelligence with one head for each task."""
