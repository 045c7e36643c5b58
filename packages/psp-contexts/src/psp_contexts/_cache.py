"""A cache of operators, bounded in bytes and never saved."""

from collections import OrderedDict
from collections.abc import Callable
from threading import RLock

import torch
from torch import Tensor

from psp_contexts.operators import TensorOperator

OVERHEAD = 1024
"""Approximate bytes of a tensor in addition to its elements."""


class OperatorCache:
    """Operators by context index, for one dtype and one device.

    If all contexts fit into `max_bytes`, they live in one table, whose rows are drawn when first
    used. A batch of contexts is then one gather. Otherwise the most recently used contexts are
    kept, and a batch stacks the contexts that it names.

    Args:
        make: Function that returns the operator of an index, of the same shapes for all.
        num_contexts: Number of indices.
        max_bytes: Largest number of bytes to keep.
    """

    def __init__(
        self, make: Callable[[int], TensorOperator], num_contexts: int, max_bytes: int
    ) -> None:
        self._make = make
        self._num_contexts = num_contexts
        self._max_bytes = max_bytes
        self._recent: OrderedDict[int, TensorOperator] = OrderedDict()
        self._table: TensorOperator | None = None
        self._filled = bytearray()  # a flag per row of the table
        self._num_missing = num_contexts
        self._lock = RLock()  # several threads may use the same contexts

    @property
    def complete(self) -> bool:
        """True if the table holds every context, so that a lookup is a gather and no more."""
        return self._num_missing == 0

    def fill(self) -> None:
        """Draw every context now.

        Raises:
            MemoryError: If they take more than `max_bytes`.
        """
        first = self.one(0)
        if self._table is None:
            raise MemoryError(
                f"all {self._num_contexts} contexts together take "
                f"{first.nbytes * self._num_contexts:,} bytes, more than the {self._max_bytes:,} "
                "of cache_bytes; use fewer contexts, or raise cache_bytes before any is used."
            )
        if not self.complete:
            for index in range(self._num_contexts):
                self.one(index)

    def one(self, index: int) -> TensorOperator:
        """Return the operator of one context."""
        # `complete` is tested first, since torch.compile does not trace reads of a bytearray.
        if not self.complete and (self._table is None or not self._filled[index]):
            # Under `torch.func.grad` new tensors belong to the transform, and end with it.
            with self._lock, torch._C._DisableFuncTorch():
                return self._one_locked(index)
        assert self._table is not None
        return self._table[index]

    def many(self, index: Tensor) -> TensorOperator:
        """Return the operators of several contexts, with the shape of `index` as batch shape."""
        if not self.complete:
            operator: TensorOperator = self._draw_many(index)
            return operator
        assert self._table is not None
        return self._table.gather(index)

    def _one_locked(self, index: int) -> TensorOperator:
        """Return the operator of one context and keep it. One thread at a time."""
        if self._table is None:
            if index in self._recent:
                self._recent.move_to_end(index)
                return self._recent[index]
            operator = self._draw(index)
            if operator.nbytes * self._num_contexts > self._max_bytes:
                return self._remember(index, operator)
            # Set before the table, since other threads read the flags once there is a table.
            self._filled = bytearray(self._num_contexts)
            with torch.inference_mode(False):
                self._table = operator.map(
                    lambda tensor: tensor.new_empty(self._num_contexts, *tensor.shape)
                )
            self._put(index, operator)
        elif not self._filled[index]:
            self._put(index, self._draw(index))
        return self._table[index]

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _draw_many(self, index: Tensor) -> TensorOperator:
        if hides_values(index):
            self.fill()
            assert self._table is not None
            return self._table.gather(index)
        # An empty index still gives an operator of the right shape, without entries.
        contexts = sorted(set(index.flatten().tolist()) or {0})
        first = self.one(contexts[0])  # makes the table if all contexts fit into it
        if self._table is not None:
            for context in contexts:
                if not self._filled[context]:
                    self.one(context)
            return self._table.gather(index)
        batch = type(first).stack([self.one(context) for context in contexts])
        position = torch.searchsorted(index.new_tensor(contexts), index.contiguous())
        return batch.map(lambda tensor: tensor[position])

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _draw(self, index: int) -> TensorOperator:
        # Autograd refuses to save inference tensors, so that a context drawn during an evaluation
        # in inference mode could not serve training.
        with torch.inference_mode(False):
            return self._make(index)

    def _put(self, index: int, operator: TensorOperator) -> None:
        assert self._table is not None
        for column, row in zip(self._table.tensors, operator.tensors, strict=True):
            # Written through `.data`, which leaves the version counter alone: autograd may have
            # saved other rows of this table for a backward pass.
            column.data[index] = row
        self._filled[index] = 1
        self._num_missing -= 1

    def _remember(self, index: int, operator: TensorOperator) -> TensorOperator:
        self._recent[index] = operator
        size = operator.nbytes + OVERHEAD * len(operator.tensors)
        while len(self._recent) > 1 and len(self._recent) * size > self._max_bytes:
            self._recent.popitem(last=False)
        return operator


def hides_values(index: Tensor) -> bool:
    """Return True if the values of a tensor cannot be read: on meta, or under a transform."""
    return (
        index.is_meta
        or type(index) is not Tensor
        or torch._C._functorch.is_functorch_wrapped_tensor(index)
    )
