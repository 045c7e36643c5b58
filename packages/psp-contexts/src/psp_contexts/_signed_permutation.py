"""Permutations with signs: a rotation's second moment at a diagonal's price."""

import torch
from torch import Tensor

from psp_contexts._cache import Operands
from psp_contexts._contexts import Contexts
from psp_contexts._permute import permute


class SignedPermutationContexts(Contexts):
    """C_k = diag(±1) P, P a uniform permutation matrix, the signs independent and fair.

    For any weights and input its interference has the mean and the second moment of a Haar
    rotation's, at the price of a gather and a multiply.

    Source:
        Ours; see `analysis.theory` for the moments.

    Example:
        >>> import torch
        >>> from psp_contexts import SignedPermutationContexts
        >>> contexts = SignedPermutationContexts(4, num_contexts=3, seed=0)
        >>> contexts.bind(torch.tensor([1.0, 2.0, 3.0, 4.0]), 1).abs().sort().values
        tensor([1., 2., 3., 4.])
    """

    def _draw(self, index: int) -> tuple[Tensor, ...]:
        """Sign and position in one number, ±(p(i) + 1), shape (dim,), int64."""
        signs = self._source("signs").signs(index, self.dim)
        return (signs * (self._source("permutation").permutation(index, self.dim) + 1),)

    @property
    def parameters_per_context(self) -> int:
        """See `Contexts.parameters_per_context`."""
        return self.dim

    def _operands(self, numbers: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
        """The permutation, its inverse, and the signs."""
        forward = numbers[0].abs() - 1
        return forward, forward.argsort(), numbers[0].sign().to(dtype)

    def _bind(self, x: Tensor, context: int | Tensor | Operands) -> Tensor:
        forward, inverse, signs = self._lookup(x, context)
        return permute(x, forward, inverse) * signs

    def _unbind(self, x: Tensor, context: int | Tensor | Operands) -> Tensor:
        forward, inverse, signs = self._lookup(x, context)
        return permute(x * signs, inverse, forward)

    def _matrix(self, operands: Operands) -> Tensor:
        forward, _, signs = operands
        return torch.nn.functional.one_hot(forward, self.dim) * signs.unsqueeze(-1)
