"""Which of the stored models a layer uses."""

from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor


class MisplacedBatchError(ValueError):
    """A layer's input has not one sample for each of the contexts along the stated dimension."""


@dataclass(frozen=True, eq=False)
class One:
    """One model for the whole batch.

    Args:
        index: Which, an int; or a tensor without dimensions whose value a transform hides.
        tensor: The same as a LongTensor without dimensions, which compiled code reads: its value
            may change from call to call without another compilation.
    """

    index: int | Tensor
    tensor: Tensor

    @classmethod
    def of(cls, index: int | Tensor) -> "One":
        """Return the selection of a model by its index."""
        return cls(index, index if isinstance(index, Tensor) else torch.tensor(index))

    @property
    def current(self) -> int | Tensor:
        """The index in the form that suits what runs: compiled code must not see the int."""
        return self.tensor if torch.compiler.is_compiling() else self.index

    def row(self, table: Tensor) -> Tensor:
        """The entry of a table (K, …) that belongs to the model, shape (…)."""
        index = self.current
        if isinstance(index, int):
            return table[index]
        return table.index_select(0, index.to(table.device).reshape(1)).squeeze(0)


@dataclass(eq=False)
class PerSample:
    """One model for each sample.

    Args:
        index: Which, a LongTensor of shape (batch,).
        batch_dim: Which dimension of every layer's input the samples lie along.
        doubts: Layers whose input had another dimension as long as the batch.
        watching: How many calls are under way after which somebody looks at the doubts.
    """

    index: Tensor
    batch_dim: int
    doubts: list[str] = field(default_factory=list)
    watching: int = 0

    def check(self, x: Tensor, layer: str, *, trailing: int) -> None:
        """Refuse an x whose dimensions but the last `trailing` hold not one sample per index.

        Raises:
            MisplacedBatchError: If that is so.
        """
        if not (self.batch_dim < x.dim() - trailing and x.shape[self.batch_dim] == len(self.index)):
            raise MisplacedBatchError(
                f"layer '{layer}' got x of shape {tuple(x.shape)} while the batch mixes contexts, "
                f"{len(self.index)} of them along dimension batch_dim={self.batch_dim}; state the "
                "dimension that holds the samples in use_context(…, batch_dim=…), or, if the "
                "network folds them into another one, call it once per context."
            )
        if x.shape[: x.dim() - trailing].count(len(self.index)) > 1:
            self._doubt(x, layer)

    def check_batch_first(self, dim: int, layer: str, *, batch_first: bool) -> None:
        """Refuse a stated dimension that is not the one which a layer itself declares, `dim`.

        Raises:
            ValueError: If that is so.
        """
        if self.batch_dim != dim:
            raise ValueError(
                f"layer '{layer}' has batch_first={batch_first}, so that its samples lie along "
                f"dimension {dim}, but the batch mixes contexts along "
                f"batch_dim={self.batch_dim}; pass batch_dim={dim} to use_context."
            )

    def _doubt(self, x: Tensor, layer: str) -> None:
        """Another dimension of x has the same length, so that the right length proves nothing."""
        if torch.compiler.is_compiling():
            where = "compiled code, which cannot be tried; run this batch without the compiler"
        elif torch._C._current_graph_task_id() != -1:
            return  # checkpointing recomputes what has been looked at in the forward pass
        elif not self.watching:
            where = (
                "a call that is not one of the network which use_context was given, so that it "
                "cannot be tried; give use_context the module that you call"
            )
        else:
            self.doubts.append(layer)
            return
        raise MisplacedBatchError(
            f"layer '{layer}' got x of shape {tuple(x.shape)} while the batch mixes contexts along "
            f"batch_dim={self.batch_dim}, with another dimension as long as the batch, in {where}, "
            "or take a batch of another length."
        )

    def places(self, device: torch.device) -> list[tuple[int, Tensor]]:
        """The contexts that occur, each with the positions of its samples, shape (n,).

        Without samples there is one, of none, which any model may serve.
        """
        present = self.index.unique().tolist() or [0]
        return [(k, (self.index == k).nonzero().squeeze(1).to(device)) for k in present]

    def rows(self, table: Tensor) -> Tensor:
        """The entries of a table (K, …) that belong to the samples, shape (batch, …)."""
        return table.index_select(0, self.index.to(table.device))

    def spread(self, entries: Tensor, leading: int) -> Tensor:
        """Entries for the samples, (batch, …), shaped to broadcast to `leading` dimensions, (…)."""
        shape = [1] * leading
        shape[self.batch_dim] = len(self.index)
        return entries.reshape(*shape, *entries.shape[1:])


@dataclass(frozen=True, eq=False)
class Mixture:
    """A weighted sum of all models, to ask how the output depends on the weights of the sum.

    Args:
        coefficients: Shape (K,), real.
    """

    coefficients: Tensor

    def row(self, table: Tensor) -> Tensor:
        """The sum of the entries of a table (K, …), shape (…)."""
        total: Tensor = torch.tensordot(self.coefficients.to(table.dtype), table, dims=1)
        return total


Selection: TypeAlias = One | PerSample | Mixture


def same_selection(first: Selection, second: Selection) -> bool:
    """Whether both select the same, as far as can be told without waiting for a device."""
    if isinstance(first, One) and isinstance(second, One):
        return first.index is second.index or (
            isinstance(first.index, int) and first.index == second.index
        )
    return first is second
