"""Haar rotations of blocks of units."""

from typing import Any

import torch
from torch import Tensor

from psp_contexts._arguments import checked_count
from psp_contexts._cache import Operands
from psp_contexts._contexts import Contexts
from psp_contexts._factor import smaller_factor
from psp_contexts._grouped import apply_grouped


class BlockRotationContexts(Contexts):
    """C_k block-diagonal, its blocks independent and Haar on O(block_size).

    Between Binary (blocks of one) and Rotation (one block): dim · block_size numbers per model.

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
        """See the class."""
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
        """The blocks, shape (dim / block_size, block_size, block_size), float64."""
        return (self._source().haar(index, self.dim // self.block_size, self.block_size),)

    @property
    def parameters_per_context(self) -> int:
        """See `Contexts.parameters_per_context`."""
        return self.dim * self.block_size

    def _operands(self, numbers: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
        """The blocks."""
        return (numbers[0].to(dtype),)

    def _bind(self, x: Tensor, context: int | Tensor | Operands) -> Tensor:
        if isinstance(context, Tensor) and context.dim():
            return apply_grouped(x, context, self._bind)
        return self._multiply(x, self._lookup(x, context)[0])

    def _unbind(self, x: Tensor, context: int | Tensor | Operands) -> Tensor:
        if isinstance(context, Tensor) and context.dim():
            return apply_grouped(x, context, self._unbind)
        return self._multiply(x, self._lookup(x, context)[0].mT)

    def _multiply(self, x: Tensor, blocks: Tensor) -> Tensor:
        parts = x.unflatten(-1, (-1, self.block_size))
        return torch.einsum("bij,...bj->...bi", blocks, parts).reshape(x.shape)

    def _matrix(self, operands: Operands) -> Tensor:
        (blocks,) = operands
        count = self.dim // self.block_size
        shape = (count, self.block_size, count, self.block_size)
        dense = blocks.new_zeros(*blocks.shape[:-3], *shape)
        dense.diagonal(dim1=-4, dim2=-2).copy_(blocks.movedim(-3, -1))
        return dense.reshape(*blocks.shape[:-3], self.dim, self.dim)

    def spec(self) -> dict[str, Any]:
        """The arguments, with the size of a block."""
        return {**super().spec(), "block_size": self.block_size}
