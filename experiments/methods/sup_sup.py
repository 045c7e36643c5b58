"""SupSup: a mask for each task over fixed random weights."""

from collections.abc import Callable
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from experiments.runner.added import pack_bits
from experiments.runner.learner import Learner


class _StraightThrough(torch.autograd.Function):
    """1 where a score is not negative, else 0, with the gradient of the identity."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        return (scores >= 0).to(scores.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


class Supermask(nn.Module):
    """Parametrization of a fixed weight by the scores of its entries: weight · [score ≥ 0].

    Args:
        shape: Shape of the weight.
    """

    def __init__(self, shape: torch.Size) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(shape))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the masked weight."""
        masked: Tensor = weight * _StraightThrough.apply(self.scores)
        return masked


def fix_weights(net: nn.Module) -> None:
    """Fix every weight at ±√(2/inputs), with its own sign, and every bias at zero; add masks.

    Args:
        net: Network of linear layers and convolutions, changed in place.
    """
    for value in net.parameters():
        value.requires_grad_(False)
    for layer in [m for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d)]:
        with torch.no_grad():
            layer.weight.copy_(layer.weight.sign() * sqrt(2 / layer.weight[0].numel()))
            if layer.bias is not None:
                layer.bias.zero_()
        register_parametrization(layer, "weight", Supermask(layer.weight.shape).to(layer.weight))


class SupSup(Learner):
    """A mask for each task over fixed random weights; only the latest one is in memory.

    The scores of a task start uniform in ±1/√inputs; the mask is where they are not negative. So
    is the paper's on permuted MNIST; on CIFAR it has a fixed share of the weights.

    Args:
        net: The network, whose weights become those of `fix_weights`.
        optimise: Builds the optimiser of the network, once for each task.
        seed: Seed of the scores.
        options: See `Learner`.

    Source:
        Wortsman et al. 2020, Supermasks in superposition, with task identities at test time; the
        initial values of weights and scores are those of their experiment on permuted MNIST.
    """

    forgets_nothing = True

    def __init__(
        self,
        net: nn.Module,
        optimise: Callable[[nn.Module], torch.optim.Optimizer],
        seed: int,
        **options: Any,
    ) -> None:
        fix_weights(net)
        super().__init__(net, optimise(net), **options)
        self._optimise = optimise
        self._seed = seed

    @torch.no_grad()
    def begin_task(self, task: int) -> None:
        """Draw the scores of a task."""
        generator = torch.Generator().manual_seed(self._seed + 1_000_000 * task)
        for mask in self._masks().values():
            bound = 1 / sqrt(mask.scores[0].numel())
            drawn = torch.rand(mask.scores.shape, generator=generator)
            mask.scores.copy_((2 * drawn - 1) * bound)
        self.optimiser = self._optimise(self.net)
        super().begin_task(task)

    def added_tensors(self) -> dict[str, Tensor]:
        """Return the masks, 8 entries in a byte."""
        return {name: pack_bits(mask.scores >= 0) for name, mask in self._masks().items()}

    def num_parameters(self, tasks: int) -> dict[str, int]:
        """Count an entry of a mask as a parameter; the fixed weights count, too."""
        added = sum(mask.scores.numel() for mask in self._masks().values())
        total = sum(value.numel() for value in self.net.parameters()) - added
        return {"total": total + tasks * added, "per_added_model": added}

    def _masks(self) -> dict[str, Supermask]:
        return {n: m for n, m in self.net.named_modules() if isinstance(m, Supermask)}
