"""The operator that does nothing."""

import torch
from torch import Tensor

from psp_contexts.operators.operator import Operator


class Identity(Operator):
    """C = I: returns its input itself, not a copy.

    Args:
        dim: Length of the vectors.
        batch_shape: Shape of the index.
        dtype: Dtype of the dense matrix.
        device: Device of the dense matrix.
    """

    def __init__(
        self,
        dim: int,
        batch_shape: tuple[int, ...] = (),
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        self.dim, self.dtype, self.device = dim, dtype, device
        self._batch_shape = torch.Size(batch_shape)

    @property
    def batch_shape(self) -> torch.Size:
        """Shape of the index."""
        return self._batch_shape

    def bind(self, x: Tensor) -> Tensor:
        """Return x."""
        return x

    def unbind(self, x: Tensor) -> Tensor:
        """Return x."""
        return x

    def matrix(self) -> Tensor:
        """Return the identity matrix for every context."""
        eye = torch.eye(self.dim, dtype=self.dtype, device=self.device)
        return eye.repeat(*self.batch_shape, 1, 1)

    def reshape(self, *batch_shape: int) -> "Identity":
        """Return the same contexts with other batch dimensions."""
        return Identity(self.dim, batch_shape, self.dtype, self.device)
