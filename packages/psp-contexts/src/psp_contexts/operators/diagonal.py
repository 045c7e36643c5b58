"""Products with a diagonal: the paper's equation 4."""

import torch
from torch import Tensor

from psp_contexts.operators.operator import TensorOperator


class Diagonal(TensorOperator):
    """C = diag(c), real with entries other than 0, or complex with entries on the unit circle.

    Args:
        tensors: c, shape (*batch_shape, dim).
    """

    trailing_dims = (1,)

    def bind(self, x: Tensor) -> Tensor:
        """Return c ⊙ x."""
        return x * self.tensors[0]

    def unbind(self, x: Tensor) -> Tensor:
        """Return c⁻¹ ⊙ x."""
        diagonal = self.tensors[0]
        # The conjugate inverts entries on the unit circle; learned real ones may have any size.
        return x * diagonal.conj() if diagonal.is_complex() else x / diagonal

    # A diagonal matrix is its own transpose.

    def store(self, weight: Tensor) -> Tensor:
        """Return W C⁻¹."""
        return self._for_rows().unbind(weight)

    def retrieve(self, weight: Tensor) -> Tensor:
        """Return W C."""
        return self._for_rows().bind(weight)

    def matrix(self) -> Tensor:
        """Return diag(c)."""
        return torch.diag_embed(self.tensors[0])
