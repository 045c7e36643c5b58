"""Independent phases: the paper's complex superposition."""

import torch
from torch import Tensor

from psp_contexts._diagonal import DiagonalContexts


class ComplexContexts(DiagonalContexts):
    """C_k = diag(e^{iφ}) with independent phases, uniform on the circle.

    Learned, the phases are trained, so that every entry stays on the circle.

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
        """The phases in radians, float64."""
        return (self._source().phases(index, self.dim),)

    def _diagonal(self, numbers: Tensor, dtype: torch.dtype) -> Tensor:
        """e^{iφ}, computed in the precision of the phases."""
        if numbers.dtype not in (torch.float32, torch.float64):
            numbers = numbers.float()  # learned in a lower precision, which has no complex form
        return torch.polar(torch.ones_like(numbers), numbers).to(dtype)
