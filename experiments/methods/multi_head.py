"""One output layer for every task: the usual remedy for output interference."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from experiments.methods.consolidating import EWC, SI
from experiments.runner import Learner


class Heads(nn.ModuleList):
    """Output layers, one of which is in use, or another for each sample.

    Attributes:
        current: The one in use, or a LongTensor with one for each sample, shape (batch,).

    Example:
        >>> import torch
        >>> from experiments.methods import Heads
        >>> heads = Heads(torch.nn.Linear(4, 2) for _ in range(3))
        >>> heads.current = torch.tensor([0, 2, 2, 1, 0])
        >>> features = torch.ones(5, 4)
        >>> torch.equal(heads(features)[1], heads[2](features)[1])
        True
    """

    current: int | Tensor = 0

    def forward(self, features: Tensor) -> Tensor:
        """The logits of the head in use, (batch, classes), from features (batch, length)."""
        if isinstance(self.current, int):
            logits: Tensor = self[self.current](features)
            return logits
        every = torch.stack([head(features) for head in self], 1)
        return every[torch.arange(len(features), device=features.device), self.current]


def give_heads(build: Callable[[int], nn.Module], tasks: int) -> nn.Module:
    """A network with one output layer for each task instead of one for all.

    Args:
        build: The network of a task; its last linear layer is the head of that task, and the
            rest of the first task's is the rest.
        tasks: How many heads.

    Example:
        >>> import torch
        >>> from experiments.methods.multi_head import give_heads
        >>> net = give_heads(lambda task: torch.nn.Sequential(torch.nn.Linear(4, 2)), tasks=3)
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
    """A learner that is told the task, and reads its answer from that task's head.

    Its network has been given `Heads`; the context of a step chooses the head.
    """

    def use(self, context: int) -> None:
        """Be the model of `context` from now on, with its head."""
        super().use(context)
        self._heads().current = context

    @contextmanager
    def _using(self, context: int | Tensor) -> Iterator[None]:
        heads = self._heads()
        before = heads.current
        heads.current = context
        try:
            with super()._using(context):
                yield
        finally:
            heads.current = before

    def _heads(self) -> Heads:
        return next(module for module in self.net.modules() if isinstance(module, Heads))


class MultiHeadEWC(MultiHead, EWC):
    """Elastic weight consolidation with one head for each task."""


class MultiHeadSI(MultiHead, SI):
    """Synaptic intelligence with one head for each task."""
