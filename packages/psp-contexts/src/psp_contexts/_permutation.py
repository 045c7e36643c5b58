"""Permutations of the units, one by one or in blocks."""

from typing import Any

import torch
from torch import Tensor

from psp_contexts._checks import checked_count
from psp_contexts._contexts import Contexts
from psp_contexts.operators import Permute


class PermutationContexts(Contexts):
    """C_k a uniform permutation matrix: (C_k x)_i = x_{p(i)}.

    It leaves the mean of a vector alone. Inputs that are not centred, as after a ReLU, interfere
    through (Σ w)(Σ x)/dim. `SignedPermutationContexts` has no such bias.

    With a `block_size` it permutes blocks of consecutive units, such as the heads of an attention
    layer, and keeps the order within a block.

    Args:
        dim: See `Contexts`.
        num_contexts: See `Contexts`.
        seed: See `Contexts`.
        name: See `Contexts`.
        block_size: Units of a block, a divisor of `dim`.

    Raises:
        ValueError: If `block_size` does not divide `dim`.

    Source:
        Cheung et al. 2019, section 2.1, names permutations without trying them.

    Example:
        >>> import torch
        >>> from psp_contexts import PermutationContexts
        >>> contexts = PermutationContexts(4, num_contexts=3, seed=0)
        >>> contexts.bind(torch.tensor([1.0, 2.0, 3.0, 4.0]), 1).sort().values
        tensor([1., 2., 3., 4.])
    """

    def __init__(
        self, dim: int, num_contexts: int, *, seed: int, name: str = "", block_size: int = 1
    ) -> None:
        super().__init__(dim, num_contexts, seed=seed, name=name)
        self.block_size = checked_count("block_size", block_size)
        if self.dim % self.block_size:
            raise ValueError(f"block_size={block_size} does not divide dim={dim}; use a divisor.")

    def _draw(self, index: int) -> tuple[Tensor, ...]:
        """Return the permutation of the blocks, shape (dim / block_size,), int64."""
        return (self._source().permutation(index, self.dim // self.block_size),)

    @property
    def parameters_per_context(self) -> int:
        """Number of parameters of one more context: dim / block_size."""
        return self.dim // self.block_size

    def _operator(self, parameters: tuple[Tensor, ...]) -> Permute:
        """Return the permutation of the units with its inverse."""
        (blocks,) = parameters
        within = torch.arange(self.block_size, device=blocks.device)
        order = (blocks.unsqueeze(-1) * self.block_size + within).flatten()
        return Permute(order, order.argsort())

    def spec(self) -> dict[str, Any]:
        """Return the arguments, with the size of a block if it is not 1."""
        blocks = {"block_size": self.block_size} if self.block_size > 1 else {}
        return {**super().spec(), **blocks}
