"""Batches of contexts whose matrices are too large to gather one for every vector."""

from collections.abc import Callable

import torch
from torch import Tensor

from psp_contexts.operators.operator import Operator


class Grouped(Operator):
    """A batch of contexts that sorts the vectors by context and applies one context at a time.

    The work is that of a single context: one gather, one product per context that occurs, and
    one gather back.

    Args:
        one: Function that returns the operator of one context.
        index: The context of every vector, any shape.
    """

    def __init__(self, one: Callable[[int], Operator], index: Tensor) -> None:
        self._one = one
        self._index = index

    @property
    def batch_shape(self) -> torch.Size:
        """Shape of the index."""
        return self._index.shape

    def bind(self, x: Tensor) -> Tensor:
        """Return C x for every vector of x."""
        return self._apply(x, lambda vectors, context: self._one(context).bind(vectors))

    def unbind(self, x: Tensor) -> Tensor:
        """Return C⁻¹ x for every vector of x."""
        return self._apply(x, lambda vectors, context: self._one(context).unbind(vectors))

    def matrix(self) -> Tensor:
        """Return the dense matrix of every context."""
        indices = self._index.flatten().tolist()
        # An empty batch has the trailing shape of any context.
        matrices = torch.stack([self._one(context).matrix() for context in indices or [0]])
        return matrices[: len(indices)].reshape(*self.batch_shape, *matrices.shape[1:])

    def reshape(self, *batch_shape: int) -> "Grouped":
        """Return the same contexts with other batch dimensions, to broadcast."""
        return Grouped(self._one, self._index.reshape(batch_shape))

    def _apply(self, x: Tensor, apply: Callable[[Tensor, int], Tensor]) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        indices = self._index.to(x.device).expand(x.shape[:-1]).reshape(-1)
        order = indices.argsort(stable=True)
        present, counts = torch.unique_consecutive(indices[order], return_counts=True)
        groups = flat[order].split(counts.tolist())
        results = [
            apply(group, context) for group, context in zip(groups, present.tolist(), strict=True)
        ]
        inverse = torch.empty_like(order)
        inverse[order] = torch.arange(len(order), device=order.device)
        return (torch.cat(results) if results else flat)[inverse].reshape(x.shape)
