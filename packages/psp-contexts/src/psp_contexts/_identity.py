"""No context at all: the baseline."""

from torch import Tensor

from psp_contexts._contexts import Contexts
from psp_contexts.operators import Identity


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
        """Return no parameters."""
        return ()

    @property
    def parameters_per_context(self) -> int:
        """Number of parameters of one more context: none."""
        return 0

    def _operator(self, parameters: tuple[Tensor, ...]) -> Identity:
        """Return the identity."""
        return Identity(self.dim)

    def _look_up(self, context: int | Tensor, like: Tensor) -> Identity:
        shape = context.shape if isinstance(context, Tensor) else ()
        return Identity(self.dim, shape, like.dtype, like.device)

    def fill(self, like: Tensor) -> None:
        """Draw nothing."""
