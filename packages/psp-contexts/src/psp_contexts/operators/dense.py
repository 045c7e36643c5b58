"""Products with matrices: one, one per block of units, or two Kronecker factors."""

import torch
from torch import Tensor
from torch.nn import functional as F

from psp_contexts.operators.operator import TensorOperator


class Dense(TensorOperator):
    """C an orthogonal matrix.

    Args:
        tensors: C, shape (*batch_shape, dim, dim).
    """

    trailing_dims = (2,)

    def bind(self, x: Tensor) -> Tensor:
        """Return C x."""
        return _multiply(self.tensors[0], x)

    def unbind(self, x: Tensor) -> Tensor:
        """Return Cᵀ x."""
        return _multiply(self.tensors[0].mT, x)

    def matrix(self) -> Tensor:
        """Return a copy of C."""
        return self.tensors[0].clone()


class Blocks(TensorOperator):
    """C block-diagonal with orthogonal blocks.

    Args:
        tensors: The blocks, shape (*batch_shape, dim / block_size, block_size, block_size).
    """

    trailing_dims = (3,)

    def bind(self, x: Tensor) -> Tensor:
        """Return C x."""
        return self._multiply(x, self.tensors[0])

    def unbind(self, x: Tensor) -> Tensor:
        """Return Cᵀ x."""
        return self._multiply(x, self.tensors[0].mT)

    def _multiply(self, x: Tensor, blocks: Tensor) -> Tensor:
        parts = x.unflatten(-1, blocks.shape[-3:-1])
        return torch.einsum("...bij,...bj->...bi", blocks, parts).reshape(x.shape)

    def matrix(self) -> Tensor:
        """Return the dense matrix."""
        blocks = self.tensors[0]
        count, size = blocks.shape[-3:-1]
        dense = blocks.new_zeros(*self.batch_shape, count, size, count, size)
        dense.diagonal(dim1=-4, dim2=-2).copy_(blocks.movedim(-3, -1))
        return dense.reshape(*self.batch_shape, count * size, count * size)


class Kronecker(TensorOperator):
    """C = (A ⊗ B) diag(s) with orthogonal A and B, and signs s.

    Args:
        tensors: A, shape (*batch_shape, a, a); B, shape (*batch_shape, b, b); and s, shape
            (*batch_shape, a · b).
    """

    trailing_dims = (2, 2, 1)

    def bind(self, x: Tensor) -> Tensor:
        """Return (A ⊗ B)(s ⊙ x)."""
        a, b, signs = self.tensors
        square: Tensor = (x * signs).unflatten(-1, (a.shape[-1], b.shape[-1]))
        return (a @ square @ b.mT).reshape(x.shape)

    def unbind(self, x: Tensor) -> Tensor:
        """Return s ⊙ (Aᵀ ⊗ Bᵀ) x."""
        a, b, signs = self.tensors
        square: Tensor = x.unflatten(-1, (a.shape[-1], b.shape[-1]))
        return (a.mT @ square @ b).reshape(x.shape) * signs

    def matrix(self) -> Tensor:
        """Return the dense matrix."""
        a, b, signs = self.tensors
        product = torch.einsum("...ij,...kl->...ikjl", a, b)
        return product.reshape(*signs.shape, signs.shape[-1]) * signs.unsqueeze(-2)


def _multiply(matrix: Tensor, x: Tensor) -> Tensor:
    if matrix.dim() == 2:
        return F.linear(x, matrix)
    return (matrix @ x.unsqueeze(-1)).squeeze(-1)
