"""No context at all: the baseline."""

import torch
from torch import Tensor

from psp_contexts._cache import Operands
from psp_contexts._contexts import Contexts


class IdentityContexts(Contexts):
    """C_k = I for every k: the paper's *standard* network, which protects nothing.

    `bind` and `unbind` return their input itself, not a copy.

    Example:
        >>> import torch
        >>> from psp_contexts import IdentityContexts
        >>> IdentityContexts(2, num_contexts=3, seed=0).bind(torch.tensor([1.0, 2.0]), 2)
        tensor([1., 2.])
    """

    def _draw(self, index: int) -> tuple[Tensor, ...]:
        """Nothing."""
        return ()

    @property
    def parameters_per_context(self) -> int:
        """See `Contexts.parameters_per_context`."""
        return 0

    def _operands(self, numbers: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
        """Nothing."""
        return ()

    def _bind(self, x: Tensor, context: int | Tensor | Operands) -> Tensor:
        return x

    def _unbind(self, x: Tensor, context: int | Tensor | Operands) -> Tensor:
        return x

    def _matrix(self, operands: Operands) -> Tensor:
        raise AssertionError("matrix is defined without operands")

    def _dense(self, like: Tensor, context: int | Tensor) -> Tensor:
        shape = context.shape if isinstance(context, Tensor) else ()
        return torch.eye(self.dim, dtype=like.dtype, device=like.device).repeat(*shape, 1, 1)

    def _fill(self, like: Tensor) -> None:
        pass  # there is nothing to draw

    def _lookup(self, like: Tensor, context: int | Tensor | Operands) -> Operands:
        return Operands()
