"""RMSprop in one pass over the weights."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn


def rmsprop(
    parameters: Iterable[nn.Parameter], lr: float, alpha: float = 0.99, eps: float = 1e-8
) -> torch.optim.Optimizer:
    """The optimiser of the paper's experiments, fused where torch can fuse it.

    torch has no fused RMSprop. Its fused Adam is one, to rounding, without a first moment
    (β₁ = 0) and with so many steps counted already that no bias is left to correct. It takes
    half the time of `torch.optim.RMSprop`, and a third for complex weights, whose parts are
    trained as the two real numbers that they are.

    Args:
        parameters: What to train.
        lr: The learning rate.
        alpha: How much of the mean square is kept from step to step.
        eps: Added to the root of the mean square.

    Example:
        >>> import torch
        >>> from experiments.runner import rmsprop
        >>> weight = torch.nn.Parameter(torch.zeros(2))
        >>> optimiser = rmsprop([weight], lr=0.1)
        >>> weight.grad = torch.tensor([3.0, -0.5])
        >>> optimiser.step()  # the first step is lr / √(1 − alpha), whatever the gradient
        >>> weight
        Parameter containing:
        tensor([-1.0000,  1.0000], requires_grad=True)
    """
    return _FusedRMSprop(list(parameters), lr, alpha, eps)


class _FusedRMSprop(torch.optim.Adam):
    def __init__(self, trained: list[nn.Parameter], lr: float, alpha: float, eps: float) -> None:
        self._complex = {
            parameter: torch.view_as_real(parameter.detach())
            for parameter in trained
            if parameter.is_complex()
        }
        real = [self._complex.get(parameter, parameter) for parameter in trained]
        super().__init__(real, lr=lr, betas=(0.0, alpha), eps=eps, fused=True)
        for parameter in real:
            self.state[parameter] = {
                "step": torch.tensor(1e9, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }

    def zero_grad(self, set_to_none: bool = True) -> None:
        super().zero_grad(set_to_none)
        for parameter in self._complex:
            parameter.grad = None

    def step(self, closure: Any = None) -> Any:
        for parameter, view in self._complex.items():
            gradient = parameter.grad
            view.grad = None if gradient is None else torch.view_as_real(gradient.resolve_conj())
        return super().step(closure)
