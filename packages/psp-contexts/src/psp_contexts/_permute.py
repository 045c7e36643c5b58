"""Reading vectors in another order, with a gradient that gathers, too."""

from typing import Any

import torch
from torch import Tensor


def permute(x: Tensor, forward: Tensor, inverse: Tensor) -> Tensor:
    """x with its last dimension read in the order `forward`, whose inverse is `inverse`.

    The gradient is a gather by the inverse; autograd's own, a scatter that adds, is slower. It
    has no forward-mode derivative, since functions that have one are not compiled.

    Args:
        x: Shape (…, dim).
        forward: Shape (dim,), or (…, dim) broadcasting to x.
        inverse: Its inverse, same shape.
    """
    result: Tensor = _Permute.apply(x, forward, inverse)
    return result


class _Permute(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, forward: Tensor, inverse: Tensor) -> Tensor:
        if forward.dim() == 1:
            return x.index_select(-1, forward)
        return x.gather(-1, forward.expand(x.shape))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        forward, inverse = ctx.saved_tensors
        return permute(gradients[0], inverse, forward), None, None
