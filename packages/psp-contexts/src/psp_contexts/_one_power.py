"""Powers of one context: the paper's one parameter per model."""

import math

import torch
from torch import Tensor

from psp_contexts._complex import ComplexContexts
from psp_contexts.operators import Diagonal


class OnePowerContexts(ComplexContexts):
    """C_k = C^k with one C = diag(e^{iφ}): a model costs one parameter, its power.

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
        """Return the power alone. All contexts share the phases."""
        return (torch.tensor(float(index), dtype=torch.float64, device="cpu"),)

    def _shared(self) -> tuple[Tensor, ...]:
        return (self.shared_phases(),)

    @property
    def parameters_per_context(self) -> int:
        """Number of parameters of one more context: its power."""
        return 1

    def num_parameters(self, num_contexts: int) -> int:
        """Return the number of phases of C, plus a power for every context but the first."""
        return super().num_parameters(num_contexts) - 1 + self.dim

    def shared_phases(self) -> Tensor:
        """Return the phases φ of C in radians, shape (dim,), float64."""
        return self._source().phases(0, self.dim)

    def _operator(self, parameters: tuple[Tensor, ...]) -> Diagonal:
        """Return the product with e^{iφk}, from the power k or, learned, from the phases φk."""
        (values,) = parameters
        phases = values if self.learned else values[..., None] * self.shared_phases()
        # Reduced in float64 before `exp`: float32 would lose the phase of a large power.
        return super()._operator((phases.remainder(2 * math.pi),))

    def _start(self) -> Tensor:
        return self.shared_phases()

    def _learned(self, table: Tensor, context: int | Tensor) -> Tensor:
        power = torch.as_tensor(context, device=table.device)[..., None]
        return power * table.double()
