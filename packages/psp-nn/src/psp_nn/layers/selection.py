"""Model or models that a layer uses."""

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import torch
from torch import Tensor


class MixedBatchError(ValueError):
    """A batch that mixes contexts cannot be served."""


class NeedsOneModelError(RuntimeError):
    """A layer can serve a batch that mixes contexts only by one call for each context."""


@dataclass(eq=False)
class PerSample:
    """One model for each sample. Layers meet it only outside a call of the whole network.

    Args:
        index: Index of each sample's model, a LongTensor of shape (batch,).
    """

    index: Tensor

    @cached_property
    def groups(self) -> "list[tuple[One, Tensor]]":
        """Selections of the contexts that occur, each with the positions of its samples."""
        with torch.inference_mode(False):  # autograd refuses to save inference tensors
            order = self.index.argsort(stable=True)
            contexts, counts = torch.unique_consecutive(self.index[order], return_counts=True)
        parts = order.split(counts.tolist())
        return [(One.of(k, self), at) for k, at in zip(contexts.tolist(), parts, strict=True)]


@dataclass(frozen=True, eq=False)
class One:
    """One model for the whole batch.

    Args:
        index: Index of the model, or a tensor without dimensions whose value a transform hides.
        tensor: The index as a LongTensor without dimensions. Compiled code reads it, so that
            another value does not recompile.
        batch: The batch that mixes contexts of which this is a part, if it is.
    """

    index: int | Tensor
    tensor: Tensor
    batch: PerSample | None = None

    @classmethod
    def of(cls, index: int | Tensor, batch: PerSample | None = None) -> "One":
        """Return the selection of a model by its index."""
        tensor = index if isinstance(index, Tensor) else torch.tensor(index)
        return cls(index, tensor, batch)

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


class EachSample(One):
    """The model of each sample, under `torch.vmap` over the samples of a mixed batch.

    A layer computes as for one sample and one model. Its operators have been looked up.
    """


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
