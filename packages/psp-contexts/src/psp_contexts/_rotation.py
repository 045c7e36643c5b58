"""Haar rotations: the paper's most general context."""

from torch import Tensor

from psp_contexts._contexts import Contexts
from psp_contexts.operators import Dense


class RotationContexts(Contexts):
    """C_k Haar on O(dim): dim² parameters per model and as many multiplications per vector.

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
        """Return the matrix, shape (dim, dim), float64."""
        return (self._source().haar(index, 1, self.dim)[0],)

    @property
    def parameters_per_context(self) -> int:
        """Number of parameters of one more context: dim²."""
        return self.dim**2

    def _operator(self, parameters: tuple[Tensor, ...]) -> Dense:
        """Return the product with the matrix."""
        return Dense(*parameters)
