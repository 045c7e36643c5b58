"""Products of two small rotations: near a rotation's effect at near a diagonal's price."""

from torch import Tensor

from psp_contexts._contexts import Contexts
from psp_contexts._factor import smaller_factor
from psp_contexts.operators import Kronecker


class KroneckerRotationContexts(Contexts):
    """C_k = (A_k ⊗ B_k) diag(±1), A and B Haar of sizes a · b = dim, both near √dim.

    About 2 dim real parameters and dim signs per model, and dim (a + b) multiplications per
    vector. Its interference has the second moment of a Haar rotation's for any weights and input.

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
        super().__init__(dim, num_contexts, seed=seed, name=name)
        self.sizes = (smaller_factor(self.dim), self.dim // smaller_factor(self.dim))
        if self.sizes[0] == 1 < self.dim:
            raise ValueError(
                f"dim={dim} is prime and has no two factors; use a composite dim, or "
                "SignedPermutationContexts, whose second moment is the same."
            )

    def _draw(self, index: int) -> tuple[Tensor, ...]:
        """Return A (a, a) and B (b, b), float64, and the signs (dim,), int8."""
        a = self._source("A").haar(index, 1, self.sizes[0])[0]
        b = self._source("B").haar(index, 1, self.sizes[1])[0]
        return a, b, self._source("signs").signs(index, self.dim)

    @property
    def parameters_per_context(self) -> int:
        """Number of parameters of one more context: a² + b² + dim."""
        return self.sizes[0] ** 2 + self.sizes[1] ** 2 + self.dim

    def _operator(self, parameters: tuple[Tensor, ...]) -> Kronecker:
        """Return the product with both factors and the signs."""
        return Kronecker(*parameters)
