"""Permutations of the units."""

import torch
from torch import Tensor

from psp_contexts._cache import Operands
from psp_contexts._contexts import Contexts
from psp_contexts._permute import permute


class PermutationContexts(Contexts):
    """C_k a uniform permutation matrix: (C_k x)_i = x_{p(i)}.

    It moves vectors without turning their mean: inputs that are not centred, as after a ReLU,
    interfere through (Σ w)(Σ x)/dim. `SignedPermutationContexts` has no such bias.

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
        """The permutation p, shape (dim,), int64."""
        return (self._source().permutation(index, self.dim),)

    @property
    def parameters_per_context(self) -> int:
        """See `Contexts.parameters_per_context`."""
        return self.dim

    def _operands(self, numbers: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
        """p and its inverse."""
        return numbers[0], numbers[0].argsort()

    def _bind(self, x: Tensor, context: int | Tensor | Operands) -> Tensor:
        forward, inverse = self._lookup(x, context)
        return permute(x, forward, inverse)

    def _unbind(self, x: Tensor, context: int | Tensor | Operands) -> Tensor:
        forward, inverse = self._lookup(x, context)
        return permute(x, inverse, forward)

    def _matrix(self, operands: Operands) -> Tensor:
        return torch.nn.functional.one_hot(operands[0], self.dim)

    def _dense(self, like: Tensor, context: int | Tensor) -> Tensor:
        return super()._dense(like, context).to(like.dtype)
