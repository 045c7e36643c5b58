"""Independent phases: the paper's complex superposition."""

import torch
from torch import Tensor

from psp_contexts._diagonal import DiagonalContexts
from psp_contexts.operators import Diagonal


class ComplexContexts(DiagonalContexts):
    """C_k = diag(e^{iφ}) with independent phases, uniform on the circle.

    Learned contexts train the phases, so that every entry stays on the circle.

    Source:
        Cheung et al. 2019, equation 5.

    Example:
        >>> import torch
        >>> from psp_contexts import ComplexContexts
        >>> ComplexContexts(2, num_contexts=3, seed=0).bind(torch.ones(2), 1).abs()
        tensor([1., 1.])
    """

    is_complex = True

    def _draw(self, index: int) -> tuple[Tensor, ...]:
        """Return the phases in radians, float64."""
        return (self._source().phases(index, self.dim),)

    def _operator(self, parameters: tuple[Tensor, ...]) -> Diagonal:
        """Return the product with e^{iφ}, computed in the precision of the phases."""
        (phases,) = parameters
        if phases.dtype not in (torch.float32, torch.float64):
            phases = phases.float()  # torch.polar takes float32 or float64 alone
        return Diagonal(torch.polar(torch.ones_like(phases), phases))
