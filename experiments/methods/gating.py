"""XdG: a random part of the hidden units for each task."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from experiments.methods.penalised import SI
from experiments.runner.learner import Learner

GATED = 0.8
"""Share of the hidden units that a task switches off, the paper's."""


class Gate(nn.Module):
    """Switches units off: in each context another random part.

    Args:
        units: Number of units.
        num_contexts: Number of contexts.
        generator: Draws whether a unit is off, with probability `GATED`, each for itself.

    Attributes:
        context: The context in use, or a LongTensor with one per sample, shape (batch,).
    """

    open: Tensor

    def __init__(self, units: int, num_contexts: int, generator: torch.Generator) -> None:
        super().__init__()
        drawn = torch.rand(num_contexts, units, generator=generator)
        self.register_buffer("open", (drawn >= GATED).float(), persistent=False)
        self.context: int | Tensor = 0

    def forward(self, units: Tensor) -> Tensor:
        """Return the activations, (batch, units), with zeros for the units that are off."""
        return units * self.open[self.context]


def add_gates(net: nn.Module, num_contexts: int, seed: int) -> nn.Sequential:
    """Return an MLP with a gate after each ReLU.

    Args:
        net: Linear layers and ReLUs in a Sequential; the result has the same ones.
        num_contexts: Number of contexts.
        seed: Seed of the gates.

    Raises:
        TypeError: If the network is not a Sequential.

    Example:
        >>> import torch
        >>> from experiments.methods.gating import add_gates
        >>> net = add_gates(torch.nn.Sequential(torch.nn.Linear(2, 5), torch.nn.ReLU()), 3, seed=0)
        >>> [type(layer).__name__ for layer in net]
        ['Linear', 'ReLU', 'Gate']
    """
    if not isinstance(net, nn.Sequential):
        raise TypeError(f"XdG gates the units of a Sequential, not of {type(net).__name__}.")
    generator = torch.Generator().manual_seed(seed)
    gated, units = nn.Sequential(), 0
    for layer in net:
        gated.append(layer)
        if isinstance(layer, nn.Linear):
            units = layer.out_features
        elif isinstance(layer, nn.ReLU):
            gated.append(Gate(units, num_contexts, generator).to(next(net.parameters()).device))
    return gated


class XdG(Learner):
    """Context-dependent gating; its network has gates.

    The paper also has dropout, and ξ = 0.01 in SI; here they are as in the other methods.

    Source:
        Masse et al. 2018, Alleviating catastrophic forgetting using context-dependent gating and
        synaptic stabilization.
    """

    def use(self, context: int) -> None:
        """Use the units of a context."""
        super().use(context)
        self._select(context)

    def num_parameters(self, tasks: int) -> dict[str, int]:
        """Count the gates as if they were stored, like the contexts of a superposition."""
        units = sum(gate.open.shape[1] for gate in self._gates())
        weights = self.copies * sum(value.numel() for value in self.net.parameters())
        return {"total": weights + tasks * units, "per_added_model": units}

    @contextmanager
    def _using(self, context: int | Tensor) -> Iterator[None]:
        previous = next(self._gates()).context
        self._select(context)
        try:
            with super()._using(context):
                yield
        finally:
            self._select(previous)

    def _select(self, context: int | Tensor) -> None:
        for gate in self._gates():
            gate.context = context

    def _gates(self) -> Iterator[Gate]:
        return (module for module in self.net.modules() if isinstance(module, Gate))


class XdGSI(XdG, SI):
    """Context-dependent gating with synaptic intelligence."""
