"""Permutations, with and without signs."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from psp_contexts.operators.operator import TensorOperator


class Permute(TensorOperator):
    """C a permutation matrix: (C x)_i = x_{p(i)}.

    Args:
        tensors: p and its inverse, shape (*batch_shape, dim), int64.
    """

    trailing_dims = (1, 1)

    def bind(self, x: Tensor) -> Tensor:
        """Return x read in the order p."""
        order, inverse = self.tensors
        return permute(x, order, inverse)

    def unbind(self, x: Tensor) -> Tensor:
        """Return x read in the order of the inverse of p."""
        order, inverse = self.tensors
        return permute(x, inverse, order)

    def bind_columns(self, weight: Tensor) -> Tensor:
        """Return the rows of a weight in the order p."""
        order, inverse = self.tensors
        if order.dim() > 1:
            return super().bind_columns(weight)
        return permute(weight, order, inverse, -2)

    def unbind_columns(self, weight: Tensor) -> Tensor:
        """Return the rows of a weight in the order of the inverse of p."""
        order, inverse = self.tensors
        if order.dim() > 1:
            return super().unbind_columns(weight)
        return permute(weight, inverse, order, -2)

    def matrix(self) -> Tensor:
        """Return the permutation matrix, int64."""
        order = self.tensors[0]
        return F.one_hot(order, order.shape[-1])


class SignedPermute(TensorOperator):
    """C = diag(s) P with a permutation matrix P and signs s.

    Args:
        tensors: The permutation and its inverse, int64, and the signs, each of shape
            (*batch_shape, dim).
    """

    trailing_dims = (1, 1, 1)

    def bind(self, x: Tensor) -> Tensor:
        """Return s ⊙ P x."""
        order, inverse, signs = self.tensors
        return permute(x, order, inverse) * signs

    def unbind(self, x: Tensor) -> Tensor:
        """Return Pᵀ (s ⊙ x)."""
        order, inverse, signs = self.tensors
        return permute(x * signs, inverse, order)

    def matrix(self) -> Tensor:
        """Return diag(s) P."""
        order, _, signs = self.tensors
        return F.one_hot(order, order.shape[-1]) * signs.unsqueeze(-1)


def permute(x: Tensor, order: Tensor, inverse: Tensor, dim: int = -1) -> Tensor:
    """Return x with a dimension, by default the last, read in another order.

    The gradient is a gather by the inverse. Autograd's own is a scatter that adds, which is
    slower. There is no forward-mode derivative: torch.compile does not trace an
    autograd.Function that defines `jvp`.

    Args:
        x: Shape (…, length, …).
        order: Shape (length,) or, for the last dimension, (…, length) broadcasting to x.
        inverse: The inverse of `order`, same shape.
        dim: Dimension of x, negative.
    """
    result: Tensor = _Permute.apply(x, order, inverse, dim)
    return result


class _Permute(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, order: Tensor, inverse: Tensor, dim: int) -> Tensor:
        if order.dim() == 1:
            return x.index_select(dim, order)
        return x.gather(-1, order.expand(x.shape))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, int], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[1:3])
        ctx.dim = inputs[3]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        order, inverse = ctx.saved_tensors
        return permute(gradients[0], inverse, order, ctx.dim), None, None, None
