"""Haar rotations: the paper's most general context."""

import torch
from torch import Tensor
from torch.nn import functional as F

from psp_contexts._cache import Operands
from psp_contexts._contexts import Contexts
from psp_contexts._grouped import apply_grouped


class RotationContexts(Contexts):
    """C_k Haar on O(dim): dim² numbers per model and as many multiplications per vector.

    Source:
        Cheung et al. 2019, section 2.1, Rotational Superposition; sampling after Mezzadri 2006.

    Example:
        >>> import torch
        >>> from psp_contexts import RotationContexts
        >>> rotation = RotationContexts(3, num_contexts=2, seed=0).matrix(1)
        >>> torch.allclose(rotation @ rotation.T, torch.eye(3, dtype=torch.float64))
        True
    """

    gathers = False

    def _draw(self, index: int) -> tuple[Tensor, ...]:
        """The matrix, shape (dim, dim), float64."""
        return (self._source().haar(index, 1, self.dim)[0],)

    @property
    def parameters_per_context(self) -> int:
        """See `Contexts.parameters_per_context`."""
        return self.dim**2

    def _operands(self, numbers: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
        """The matrix."""
        return (numbers[0].to(dtype),)

    def _bind(self, x: Tensor, context: int | Tensor | Operands) -> Tensor:
        if isinstance(context, Tensor) and context.dim():
            return apply_grouped(x, context, self._bind)
        return F.linear(x, self._lookup(x, context)[0])

    def _unbind(self, x: Tensor, context: int | Tensor | Operands) -> Tensor:
        if isinstance(context, Tensor) and context.dim():
            return apply_grouped(x, context, self._unbind)
        return F.linear(x, self._lookup(x, context)[0].T)

    def _matrix(self, operands: Operands) -> Tensor:
        return operands[0].clone()  # not the cache itself
