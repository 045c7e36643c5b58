"""The base classes of all operators."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor


class Operator(ABC):
    """The linear map C of one context, or of a batch of contexts.

    Operators check nothing. Shapes and dtypes follow torch's rules of broadcasting and promotion,
    so that a layer can hold an operator and pay for the product alone.
    """

    @property
    @abstractmethod
    def batch_shape(self) -> torch.Size:
        """() for one context, the shape of the index for a batch of contexts."""

    @abstractmethod
    def bind(self, x: Tensor) -> Tensor:
        """Return C x for every vector of x.

        Args:
            x: Shape (…, dim). `batch_shape` broadcasts to x.shape[:-1].
        """

    @abstractmethod
    def unbind(self, x: Tensor) -> Tensor:
        """Return C⁻¹ x for every vector of x; see `bind`."""

    def store(self, weight: Tensor) -> Tensor:
        """Return W C⁻¹, the term that this context adds to a superposition.

        Args:
            weight: Shape (…, out, dim). `batch_shape` broadcasts to weight.shape[:-2].
        """
        # A row w of W C⁻¹ is (C⁻¹)ᵀ w, which is C w for a real orthogonal C.
        return self._for_rows().bind(weight)

    def retrieve(self, weight: Tensor) -> Tensor:
        """Return W C, the model of this context read back; see `store`."""
        return self._for_rows().unbind(weight)

    def bind_columns(self, weight: Tensor) -> Tensor:
        """Return C W, for a context on the output side of a weight.

        Args:
            weight: Shape (…, dim, in). `batch_shape` broadcasts to weight.shape[:-2].
        """
        return self._for_rows().bind(weight.mT).mT

    def unbind_columns(self, weight: Tensor) -> Tensor:
        """Return C⁻¹ W; see `bind_columns`."""
        return self._for_rows().unbind(weight.mT).mT

    @abstractmethod
    def matrix(self) -> Tensor:
        """Return the dense matrix C, shape (*batch_shape, dim, dim)."""

    @abstractmethod
    def reshape(self, *batch_shape: int) -> "Operator":
        """Return the same contexts with other batch dimensions, to broadcast."""

    def _for_rows(self) -> "Operator":
        """This operator with a batch dimension of 1 for the rows of a weight."""
        return self.reshape(*self.batch_shape, 1) if self.batch_shape else self


class TensorOperator(Operator):
    """An operator given by tensors whose leading dimensions are its `batch_shape`.

    Args:
        tensors: See the subclass. Tensors of int64 are indices, which keep their dtype.
    """

    trailing_dims: ClassVar[tuple[int, ...]]
    """Number of dimensions of each tensor that are not batch dimensions."""

    def __init__(self, *tensors: Tensor) -> None:
        self.tensors = tensors

    @property
    def batch_shape(self) -> torch.Size:
        """Leading dimensions of the tensors."""
        first = self.tensors[0]
        return first.shape[: first.dim() - self.trailing_dims[0]]

    @property
    def nbytes(self) -> int:
        """Bytes of the tensors' elements."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors)

    def reshape(self, *batch_shape: int) -> Self:
        """Return the same contexts with other batch dimensions, to broadcast."""
        return type(self)(
            *[
                tensor.reshape(*batch_shape, *tensor.shape[tensor.dim() - trailing :])
                for tensor, trailing in zip(self.tensors, self.trailing_dims, strict=True)
            ]
        )

    def __getitem__(self, index: int) -> Self:
        """Return the operator at a position of the first batch dimension, as a view."""
        return type(self)(*[tensor[index] for tensor in self.tensors])

    def gather(self, index: Tensor) -> Self:
        """Return the operators at several positions of the only batch dimension.

        Args:
            index: Any shape, which becomes the `batch_shape`.
        """
        # Indexing with a tensor would read the value of an index without dimensions.
        flat = index.reshape(-1)
        return self.map(
            lambda tensor: tensor.index_select(0, flat).reshape(*index.shape, *tensor.shape[1:])
        )

    def to(self, dtype: torch.dtype, device: torch.device) -> Self:
        """Convert everything but indices to `dtype`, and move it to `device`."""
        return self.map(
            lambda tensor: (tensor if tensor.dtype == torch.int64 else tensor.to(dtype)).to(device)
        )

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """Return an operator whose tensors are the results of a function."""
        return type(self)(*[function(tensor) for tensor in self.tensors])

    def __reduce__(self) -> tuple[type[Self], tuple[Tensor, ...]]:
        """Copy and pickle the tensors alone; a view would take its whole table along."""
        return type(self), tuple(tensor.clone() for tensor in self.tensors)

    @classmethod
    def stack(cls, operators: Sequence[Self]) -> Self:
        """Return a batch of operators of this class and one shape."""
        columns = zip(*[operator.tensors for operator in operators], strict=True)
        return cls(*[torch.stack(column) for column in columns])
