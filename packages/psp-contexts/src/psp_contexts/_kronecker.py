"""Products of two small rotations: near a rotation's effect at near a diagonal's price."""

import torch
from torch import Tensor

from psp_contexts._cache import Operands
from psp_contexts._contexts import Contexts
from psp_contexts._factor import smaller_factor


class KroneckerRotationContexts(Contexts):
    """C_k = (A_k ⊗ B_k) diag(±1), A and B Haar of sizes a · b = dim, both near √dim.

    About 2 dim numbers and dim signs per model, dim (a + b) multiplications per vector. Its
    interference has the second moment of a Haar rotation's for any weights and input.

    Raises:
        ValueError: If `dim` is prime.

    Source:
        Ours; see `analysis.theory` for the moments.

    Example:
        >>> import torch
        >>> from psp_contexts import KroneckerRotationContexts
        >>> contexts = KroneckerRotationContexts(784, num_contexts=50, seed=0)  # 28 × 28
        >>> x = torch.randn(784)
        >>> torch.allclose(contexts.bind(x, 7).norm(), x.norm())
        True
    """

    def __init__(self, dim: int, num_contexts: int, *, seed: int, name: str = "") -> None:
        """See the class."""
        super().__init__(dim, num_contexts, seed=seed, name=name)
        self.sizes = (smaller_factor(self.dim), self.dim // smaller_factor(self.dim))
        if self.sizes[0] == 1 < self.dim:
            raise ValueError(
                f"dim={dim} is prime and has no two factors; use a composite dim, or "
                "SignedPermutationContexts, whose second moment is the same."
            )

    def _draw(self, index: int) -> tuple[Tensor, ...]:
        """A (a, a) and B (b, b), float64, and the signs (dim,), int8."""
        a = self._source("A").haar(index, 1, self.sizes[0])[0]
        b = self._source("B").haar(index, 1, self.sizes[1])[0]
        return a, b, self._source("signs").signs(index, self.dim)

    @property
    def parameters_per_context(self) -> int:
        """See `Contexts.parameters_per_context`."""
        return self.sizes[0] ** 2 + self.sizes[1] ** 2 + self.dim

    def _operands(self, numbers: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
        """A, B and the signs."""
        return tuple(part.to(dtype) for part in numbers)

    def _bind(self, x: Tensor, context: int | Tensor | Operands) -> Tensor:
        a, b, signs = self._lookup(x, context)
        square: Tensor = (x * signs).unflatten(-1, self.sizes)
        return (a @ square @ b.mT).reshape(x.shape)

    def _unbind(self, x: Tensor, context: int | Tensor | Operands) -> Tensor:
        a, b, signs = self._lookup(x, context)
        square: Tensor = x.unflatten(-1, self.sizes)
        return (a.mT @ square @ b).reshape(x.shape) * signs

    def _matrix(self, operands: Operands) -> Tensor:
        a, b, signs = operands
        product = torch.einsum("...ij,...kl->...ikjl", a, b)
        return product.reshape(*signs.shape, self.dim) * signs.unsqueeze(-2)
