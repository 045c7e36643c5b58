"""Haar rotations of blocks of units."""

from typing import Any

from torch import Tensor

from psp_contexts._checks import checked_count
from psp_contexts._contexts import Contexts
from psp_contexts._factor import smaller_factor
from psp_contexts.operators import Blocks


class BlockRotationContexts(Contexts):
    """C_k block-diagonal, its blocks independent and Haar on O(block_size).

    Between Binary (blocks of one) and Rotation (one block): dim · block_size parameters per model.

    Args:
        dim: See `Contexts`.
        num_contexts: See `Contexts`.
        seed: See `Contexts`.
        name: See `Contexts`.
        block_size: Size of a block, a divisor of `dim`. By default the largest divisor that is
            at most √dim.

    Raises:
        ValueError: If `block_size` does not divide `dim`, or is left out and `dim` is prime.

    Source:
        Cheung et al. 2019, section 2.1, names block-diagonal rotations without trying them.

    Example:
        >>> from psp_contexts import BlockRotationContexts
        >>> contexts = BlockRotationContexts(6, num_contexts=2, seed=0, block_size=3)
        >>> contexts.matrix(0)[0, 3:].tolist()
        [0.0, 0.0, 0.0]
    """

    gathers = False

    def __init__(
        self,
        dim: int,
        num_contexts: int,
        *,
        seed: int,
        name: str = "",
        block_size: int | None = None,
    ) -> None:
        super().__init__(dim, num_contexts, seed=seed, name=name)
        if block_size is None:
            block_size = smaller_factor(self.dim)
            if block_size == 1 < self.dim:
                raise ValueError(
                    f"dim={dim} is prime and has no blocks between 1 and {dim}; use a composite "
                    "dim, pass block_size, or use BinaryContexts or RotationContexts."
                )
        self.block_size = checked_count("block_size", block_size)
        if self.dim % self.block_size:
            raise ValueError(f"block_size={block_size} does not divide dim={dim}; use a divisor.")

    def _draw(self, index: int) -> tuple[Tensor, ...]:
        """Return the blocks, shape (dim / block_size, block_size, block_size), float64."""
        return (self._source().haar(index, self.dim // self.block_size, self.block_size),)

    @property
    def parameters_per_context(self) -> int:
        """Number of parameters of one more context: dim · block_size."""
        return self.dim * self.block_size

    def _operator(self, parameters: tuple[Tensor, ...]) -> Blocks:
        """Return the product with the blocks."""
        return Blocks(*parameters)

    def spec(self) -> dict[str, Any]:
        """Return the arguments, with `block_size`."""
        return {**super().spec(), "block_size": self.block_size}
