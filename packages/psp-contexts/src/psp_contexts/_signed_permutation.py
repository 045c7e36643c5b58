"""Permutations with signs: a rotation's second moment at a diagonal's price."""

import torch
from torch import Tensor

from psp_contexts._contexts import Contexts
from psp_contexts.operators import SignedPermute


class SignedPermutationContexts(Contexts):
    """C_k = diag(±1) P, P a uniform permutation matrix, the signs independent and fair.

    For any weights and input its interference has the mean and the second moment of a Haar
    rotation's, at the price of a gather and a multiplication.

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
        """Return sign and position in one number, ±(p(i) + 1), shape (dim,), int64."""
        signs = self._source("signs").signs(index, self.dim)
        return (signs * (self._source("permutation").permutation(index, self.dim) + 1),)

    @property
    def parameters_per_context(self) -> int:
        """Number of parameters of one more context: dim."""
        return self.dim

    def _operator(self, parameters: tuple[Tensor, ...]) -> SignedPermute:
        """Return the permutation with its inverse and the signs."""
        (signed,) = parameters
        order = signed.abs() - 1
        return SignedPermute(order, order.argsort(), signed.sign().to(torch.int8))
