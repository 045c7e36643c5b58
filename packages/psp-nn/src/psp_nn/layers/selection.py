"""Model or models that a layer uses."""

from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor


class MisplacedBatchError(ValueError):
    """The stated dimension of a layer's input does not hold one sample per context."""


@dataclass(frozen=True, eq=False)
class One:
    """One model for the whole batch.

    Args:
        index: Index of the model, or a tensor without dimensions whose value a transform hides.
        tensor: The index as a LongTensor without dimensions. Compiled code reads it, so that
            another value does not recompile.
    """

    index: int | Tensor
    tensor: Tensor

    @classmethod
    def of(cls, index: int | Tensor) -> "One":
        """Return the selection of a model by its index."""
        return cls(index, index if isinstance(index, Tensor) else torch.tensor(index))

    @property
    def current(self) -> int | Tensor:
        """Index as a tensor while compiling, where an int would be a constant."""
        return self.tensor if torch.compiler.is_compiling() else self.index

    def row(self, table: Tensor) -> Tensor:
        """Return the model's entry of a table (K, …), shape (…)."""
        index = self.current
        if isinstance(index, int):
            return table[index]
        return table.index_select(0, index.to(table.device).reshape(1)).squeeze(0)


@dataclass(eq=False)
class PerSample:
    """One model for each sample.

    Args:
        index: Index of each sample's model, a LongTensor of shape (batch,).
        batch_dim: Dimension of every layer's input along which the samples lie.
        doubts: Layers whose input had another dimension as long as the batch.
        watching: Number of running calls after which the doubts are settled.
    """

    index: Tensor
    batch_dim: int
    doubts: list[str] = field(default_factory=list)
    watching: int = 0

    def check(self, x: Tensor, layer: str, *, trailing: int) -> None:
        """Check that x has one sample per index, in none of its last `trailing` dimensions.

        Raises:
            MisplacedBatchError: If the stated dimension has another length.
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
        """Check that the stated dimension is the one that a layer declares.

        Raises:
            ValueError: If the layer declares another one.
        """
        if self.batch_dim != dim:
            raise ValueError(
                f"layer '{layer}' has batch_first={batch_first}, so that its samples lie along "
                f"dimension {dim}, but the batch mixes contexts along "
                f"batch_dim={self.batch_dim}; pass batch_dim={dim} to use_context."
            )

    def _doubt(self, x: Tensor, layer: str) -> None:
        """Record that another dimension of x is as long as the batch, or refuse x."""
        if torch.compiler.is_compiling():
            reason = "compiled code, which has no trial run; run this batch without the compiler"
        elif torch._C._current_graph_task_id() != -1:
            return  # checkpointing recomputes an input that the forward pass has checked
        elif not self.watching:
            reason = (
                "a call of another module than use_context was given, which has no trial run; "
                "give use_context the module that you call"
            )
        else:
            self.doubts.append(layer)
            return
        raise MisplacedBatchError(
            f"layer '{layer}' got x of shape {tuple(x.shape)} while the batch mixes contexts along "
            f"batch_dim={self.batch_dim}, with another dimension as long as the batch, in "
            f"{reason}, or take a batch of another length."
        )

    def positions(self, device: torch.device) -> list[tuple[int, Tensor]]:
        """Return each context that occurs with the positions of its samples, shape (n,).

        An empty batch has one context, which any model may serve, without positions.
        """
        present = self.index.unique().tolist() or [0]
        return [(k, (self.index == k).nonzero().squeeze(1).to(device)) for k in present]

    def rows(self, table: Tensor) -> Tensor:
        """Return the samples' entries of a table (K, …), shape (batch, …)."""
        return table.index_select(0, self.index.to(table.device))

    def shape(self, leading: int) -> list[int]:
        """Return the shape in which the samples broadcast to `leading` dimensions of an input."""
        shape = [1] * leading
        shape[self.batch_dim] = len(self.index)
        return shape


@dataclass(frozen=True, eq=False)
class Mixture:
    """A weighted sum of all models, for the derivative of an output by the weights of the sum.

    Args:
        coefficients: Shape (K,), real.
    """

    coefficients: Tensor

    def row(self, table: Tensor) -> Tensor:
        """Return the weighted sum of the entries of a table (K, …), shape (…)."""
        total: Tensor = torch.tensordot(self.coefficients.to(table.dtype), table, dims=1)
        return total


@dataclass(frozen=True)
class Base:
    """The base, from which all models differ."""

    index: None = None


Selection: TypeAlias = One | PerSample | Mixture | Base


def same_selection(first: Selection, second: Selection) -> bool:
    """Return True if both select the same, as far as is known without reading from a device."""
    if isinstance(first, One) and isinstance(second, One):
        return first.index is second.index or (
            isinstance(first.index, int) and first.index == second.index
        )
    return first is second or (isinstance(first, Base) and isinstance(second, Base))
