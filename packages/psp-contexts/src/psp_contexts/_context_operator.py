"""The operator of `contexts[k]`."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from psp_contexts.operators import Operator

if TYPE_CHECKING:
    from psp_contexts._contexts import Contexts


class ContextOperator(Operator):
    """The operator of `contexts[k]`, looked up at each use for the dtype and device of the input.

    It calls the methods of the contexts and shares their checks. An operator from
    `contexts.operator` looks nothing up and is faster.

    Args:
        contexts: The contexts.
        context: A checked index.
    """

    def __init__(self, contexts: "Contexts", context: int | Tensor) -> None:
        self._contexts = contexts
        self._context = context

    @property
    def batch_shape(self) -> torch.Size:
        """() for one context, the shape of the index for a batch of contexts."""
        return self._context.shape if isinstance(self._context, Tensor) else torch.Size()

    def bind(self, x: Tensor) -> Tensor:
        """Return C x; see `Contexts.bind`."""
        return self._contexts.bind(x, self._context)

    def unbind(self, x: Tensor) -> Tensor:
        """Return C⁻¹ x; see `Contexts.unbind`."""
        return self._contexts.unbind(x, self._context)

    def store(self, weight: Tensor) -> Tensor:
        """Return W C⁻¹; see `Contexts.store`."""
        return self._contexts.store(weight, self._context)

    def retrieve(self, weight: Tensor) -> Tensor:
        """Return W C; see `Contexts.retrieve`."""
        return self._contexts.retrieve(weight, self._context)

    def matrix(self) -> Tensor:
        """Return the dense matrix C, float64 or complex128, on the CPU."""
        return self._contexts.matrix(self._context)

    def reshape(self, *batch_shape: int) -> "ContextOperator":
        """Return the same contexts with other batch dimensions, to broadcast."""
        context = torch.as_tensor(self._context).reshape(batch_shape)
        return ContextOperator(self._contexts, context)
