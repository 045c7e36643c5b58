"""What the diagonal families share: one gather and one multiply."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from psp_contexts._arguments import checked_flag
from psp_contexts._cache import Operands
from psp_contexts._contexts import Contexts

MOST_LEARNED = 2**31


class DiagonalContexts(Contexts):
    """Contexts C_k = diag(c_k): y = W (c_k ⊙ x), the paper's equation 4.

    Any diagonal family can be learned: the numbers that a fixed one draws become the starting
    point of a parameter, `learned_numbers`, with one row per context, and gradients flow into the
    rows in use.

    Args:
        dim: See `Contexts`.
        num_contexts: See `Contexts`.
        seed: See `Contexts`; for learned contexts it gives the start.
        name: See `Contexts`.
        learned: Whether the contexts are trained.

    Raises:
        TypeError, ValueError: As `Contexts`, and if all learned contexts together have more than
            2³¹ numbers.

    Source:
        Cheung et al. 2019, sections 2.1 and 5 (learned contexts are its open question).
    """

    learned_numbers: nn.Parameter | None

    def __init__(
        self, dim: int, num_contexts: int, *, seed: int, name: str = "", learned: bool = False
    ) -> None:
        """See the class."""
        super().__init__(dim, num_contexts, seed=seed, name=name)
        self.learned = checked_flag("learned", learned)
        self.learned_numbers = nn.Parameter(self._start().float()) if learned else None

    @abstractmethod
    def _diagonal(self, numbers: Tensor, dtype: torch.dtype) -> Tensor:
        """The diagonals c_k, shape (…, dim), from the numbers of contexts, shape (…, dim)."""

    def _start(self) -> Tensor:
        """Where learning starts: the numbers drawn for every row, shape (rows, dim)."""
        if self._num_rows * self.dim > MOST_LEARNED:
            raise ValueError(
                f"num_contexts={self.num_contexts} learned contexts of dim={self.dim} are "
                f"{self._num_rows * self.dim:,} numbers to train, more than {MOST_LEARNED:,}; use "
                "fewer, or fixed ones, which take no memory."
            )
        return torch.stack([self._start_row(row) for row in range(self._num_rows)])

    @property
    def _num_rows(self) -> int:
        return self.num_contexts

    def _start_row(self, row: int) -> Tensor:
        return self._draw(row)[0]

    def _learned(self, learned_numbers: Tensor, context: int | Tensor) -> Tensor:
        """The learned numbers of the contexts, shape (*context.shape, dim)."""
        return rows_of(learned_numbers, context)

    @property
    def parameters_per_context(self) -> int:
        """See `Contexts.parameters_per_context`."""
        return self.dim

    def _operands(self, numbers: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
        """The diagonal."""
        return (self._diagonal(numbers[0], dtype),)

    def _lookup(self, like: Tensor, context: int | Tensor | Operands) -> Operands:
        if isinstance(context, Operands):
            return context
        if self.learned_numbers is None:
            return super()._lookup(like, context)
        numbers = self._learned(self.learned_numbers, context).to(like.device)
        return Operands([self._diagonal(numbers, self._dtype(like.dtype))])

    def _fill(self, like: Tensor) -> None:
        """Draw every context now; learned ones are there already."""
        if not self.learned:
            super()._fill(like)

    def _bind(self, x: Tensor, context: int | Tensor | Operands) -> Tensor:
        # What has been looked up is not looked up again: that would take as long as the product.
        operands = context if isinstance(context, Operands) else self._lookup(x, context)
        return x * operands[0]

    def _unbind(self, x: Tensor, context: int | Tensor | Operands) -> Tensor:
        diagonal = self._lookup(x, context)[0]
        # Unit entries are inverted by their conjugate; learned real ones need not be units.
        return x * diagonal.conj() if self.is_complex else x / diagonal

    def _store(self, weight: Tensor, context: int | Tensor | Operands) -> Tensor:
        return self._unbind(weight, context)  # a diagonal is its own transpose

    def _retrieve(self, weight: Tensor, context: int | Tensor | Operands) -> Tensor:
        return self._bind(weight, context)

    def _matrix(self, operands: Operands) -> Tensor:
        return torch.diag_embed(operands[0])

    def spec(self) -> dict[str, Any]:
        """The arguments, with whether the contexts are learned."""
        return {**super().spec(), "learned": self.learned}


def rows_of(table: Tensor, index: int | Tensor) -> Tensor:
    """The rows of a table, shape (*index.shape, ...), without asking a tensor for its value."""
    if isinstance(index, int):
        return table[index]
    flat = index.to(table.device).reshape(-1)
    return table.index_select(0, flat).reshape(*index.shape, *table.shape[1:])
