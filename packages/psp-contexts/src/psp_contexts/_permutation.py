"""Permutations of the units."""

from torch import Tensor

from psp_contexts._contexts import Contexts
from psp_contexts.operators import Permute


class PermutationContexts(Contexts):
    """C_k a uniform permutation matrix: (C_k x)_i = x_{p(i)}.

    It leaves the mean of a vector alone. Inputs that are not centred, as after a ReLU, interfere
    through (Σ w)(Σ x)/dim. `SignedPermutationContexts` has no such bias.

    Source:
        Cheung et al. 2019, section 2.1, names permutations without trying them.

    Example:
        >>> import torch
        >>> from psp_contexts import PermutationContexts
        >>> contexts = PermutationContexts(4, num_contexts=3, seed=0)
        >>> contexts.bind(torch.tensor([1.0, 2.0, 3.0, 4.0]), 1).sort().values
        tensor([1., 2., 3., 4.])
    """

    def _draw(self, index: int) -> tuple[Tensor, ...]:
        """Return the permutation p, shape (dim,), int64."""
        return (self._source().permutation(index, self.dim),)

    @property
    def parameters_per_context(self) -> int:
        """Number of parameters of one more context: dim."""
        return self.dim

    def _operator(self, parameters: tuple[Tensor, ...]) -> Permute:
        """Return the permutation with its inverse."""
        (order,) = parameters
        return Permute(order, order.argsort())
