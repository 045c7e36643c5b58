"""The base class of the diagonal families, fixed or learned."""

from typing import Any

import torch
from torch import Tensor, nn

from psp_contexts._contexts import Contexts
from psp_contexts.operators import Diagonal, Operator

MOST_LEARNED = 2**31
"""Largest number of parameters of all learned contexts together."""


class DiagonalContexts(Contexts):
    """Contexts C_k = diag(c_k): y = W (c_k ⊙ x), the paper's equation 4.

    Any diagonal family can be learned. The parameters that a fixed family draws are then the
    initial values of an `nn.Parameter`, `learned_numbers`, with one row per context. Gradients
    flow into the rows in use.

    Args:
        dim: See `Contexts`.
        num_contexts: See `Contexts`.
        seed: See `Contexts`. Learned contexts start from it.
        name: See `Contexts`.
        learned: Whether the contexts are trained.

    Raises:
        ValueError: As for `Contexts`, and if all learned contexts together have more than 2³¹
            parameters.

    Source:
        Cheung et al. 2019, sections 2.1 and 5 (learned contexts are its open question).
    """

    learned_numbers: nn.Parameter | None

    def __init__(
        self, dim: int, num_contexts: int, *, seed: int, name: str = "", learned: bool = False
    ) -> None:
        super().__init__(dim, num_contexts, seed=seed, name=name)
        self.learned = bool(learned)
        self.learned_numbers = nn.Parameter(self._start().float()) if learned else None

    def _start(self) -> Tensor:
        """Return the initial values of learned parameters, shape (rows, dim)."""
        if self._num_rows * self.dim > MOST_LEARNED:
            raise ValueError(
                f"num_contexts={self.num_contexts} learned contexts of dim={self.dim} have "
                f"{self._num_rows * self.dim:,} parameters to train, more than {MOST_LEARNED:,}; "
                "use fewer, or fixed ones, which take no memory."
            )
        return torch.stack([self._start_row(row) for row in range(self._num_rows)])

    @property
    def _num_rows(self) -> int:
        return self.num_contexts

    def _start_row(self, row: int) -> Tensor:
        return self._draw(row)[0]

    def _learned(self, table: Tensor, context: int | Tensor) -> Tensor:
        """Return the learned parameters of the contexts, shape (*context.shape, dim)."""
        return rows_of(table, context)

    @property
    def parameters_per_context(self) -> int:
        """Number of parameters of one more context: dim."""
        return self.dim

    def _operator(self, parameters: tuple[Tensor, ...]) -> Diagonal:
        """Return the product with the parameters themselves."""
        return Diagonal(*parameters)

    def _look_up(self, context: int | Tensor, like: Tensor) -> Operator:
        if self.learned_numbers is None:
            return super()._look_up(context, like)
        parameters = self._learned(self.learned_numbers, context).to(like.device)
        return self._operator((parameters,)).to(self._dtype(like.dtype), like.device)

    def fill(self, like: Tensor) -> None:
        """Draw every context now. Learned contexts need no drawing."""
        if not self.learned:
            super().fill(like)

    def spec(self) -> dict[str, Any]:
        """Return the arguments, with `learned`."""
        return {**super().spec(), "learned": self.learned}


def rows_of(table: Tensor, index: int | Tensor) -> Tensor:
    """Return the rows of a table, shape (*index.shape, ...)."""
    if isinstance(index, int):
        return table[index]
    # Indexing with a tensor would read the value of an index without dimensions.
    flat = index.to(table.device).reshape(-1)
    return table.index_select(0, flat).reshape(*index.shape, *table.shape[1:])
