"""Powers of one context: the paper's one number per model."""

import math

import torch
from torch import Tensor

from psp_contexts._complex import ComplexContexts


class OnePowerContexts(ComplexContexts):
    """C_k = C^k with one C = diag(e^{iφ}): a model costs one number, its power.

    Source:
        Cheung et al. 2019, equation 6.

    Example:
        >>> import torch
        >>> from psp_contexts import OnePowerContexts
        >>> contexts = OnePowerContexts(4, num_contexts=10, seed=0)
        >>> x = torch.randn(4)
        >>> twice = contexts.bind(contexts.bind(x, 2), 3)
        >>> torch.allclose(twice, contexts.bind(x, 5), atol=1e-6)
        True
    """

    def _draw(self, index: int) -> tuple[Tensor, ...]:
        """The power alone; the phases are shared by all contexts."""
        return (torch.tensor(float(index), dtype=torch.float64, device="cpu"),)

    def _shared(self) -> tuple[Tensor, ...]:
        return (self.shared_phases(),)

    @property
    def parameters_per_context(self) -> int:
        """See `Contexts.parameters_per_context`."""
        return 1

    def _num_parameters(self, num_contexts: int) -> int:
        """The phases of C once, and a power for every context but the first."""
        return self.dim + (num_contexts - 1) * self.parameters_per_context

    def shared_phases(self) -> Tensor:
        """The phases φ of C in radians, shape (dim,), float64."""
        return self._source().phases(0, self.dim)

    def _diagonal(self, numbers: Tensor, dtype: torch.dtype) -> Tensor:
        """e^{iφk} from powers of shape (…, 1) or, learned, from phases of shape (…, dim)."""
        phases = numbers if self.learned else numbers[..., None] * self.shared_phases()
        # Reduced in float64 before `exp`: float32 would lose the phase of a large power.
        return super()._diagonal(phases.remainder(2 * math.pi), dtype)

    def _start(self) -> Tensor:
        return self.shared_phases()

    def _learned(self, learned_numbers: Tensor, context: int | Tensor) -> Tensor:
        power = torch.as_tensor(context, device=learned_numbers.device)[..., None]
        return power * learned_numbers.double()
