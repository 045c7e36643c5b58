"""Signs: the paper's binary superposition."""

from torch import Tensor

from psp_contexts._diagonal import DiagonalContexts


class BinaryContexts(DiagonalContexts):
    """C_k = diag(±1) with independent fair signs: one bit per unit and model.

    Learned contexts are real numbers that start as signs. They must stay away from zero, since
    `unbind` and `store` divide by them.

    Source:
        Cheung et al. 2019, section 2.1, Binary Superposition.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> BinaryContexts(6, num_contexts=3, seed=0, name="fc1").bind(torch.ones(6), 2)
        tensor([ 1.,  1., -1.,  1.,  1.,  1.])
    """

    def _draw(self, index: int) -> tuple[Tensor, ...]:
        """Return the signs, int8."""
        return (self._source().signs(index, self.dim),)
