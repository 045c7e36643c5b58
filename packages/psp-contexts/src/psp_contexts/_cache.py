"""What bind needs of the contexts used so far: a cache, bounded in bytes, never saved."""

from collections import OrderedDict
from collections.abc import Callable
from threading import RLock

import torch
from torch import Tensor

OVERHEAD = 1024
"""Bytes that a tensor takes beside its numbers, roughly: what many small ones come to."""


class Operands(tuple[Tensor, ...]):
    """What bind needs of a context. A type of its own, so that no plain tuple passes for it."""

    __slots__ = ()


class OperandCache:
    """Operands by context index, for one dtype and one device.

    While all contexts of a family fit into `max_bytes` they live in one table, row by row as they
    are first used, so that a batch that mixes contexts is one gather. A family that is larger
    keeps its most recently used contexts, and a mixed batch stacks the ones it names.

    Args:
        make: Gives the operands of one index, a tuple of tensors whose shapes do not vary.
        num_contexts: How many indices there are.
        max_bytes: How much to keep.
    """

    def __init__(self, make: Callable[[int], Operands], num_contexts: int, max_bytes: int) -> None:
        """Keep nothing yet."""
        self._make = make
        self._num_contexts = num_contexts
        self._max_bytes = max_bytes
        self._recent: OrderedDict[int, Operands] = OrderedDict()
        self._table: Operands | None = None
        self._filled = bytearray()  # a flag per row of the table
        self._missing = num_contexts
        self._lock = RLock()  # several threads may serve batches with one family

    @property
    def complete(self) -> bool:
        """Whether every context is in the table, so that a lookup is a gather and no more."""
        return self._missing == 0

    def fill(self) -> None:
        """Draw every context now.

        Raises:
            MemoryError: If they take more than `max_bytes`.
        """
        first = self.one(0)
        if self._table is None:
            raise MemoryError(
                f"all {self._num_contexts} contexts together take "
                f"{_bytes(first) * self._num_contexts:,} bytes, more than the {self._max_bytes:,} "
                "of cache_bytes; use fewer contexts, or raise cache_bytes before any is used."
            )
        if self._missing:
            for index in range(self._num_contexts):
                self.one(index)

    def one(self, index: int) -> Operands:
        """The operands of one context."""
        # That all are there is asked first: a compiler does not look into the flags.
        if not self.complete and (self._table is None or not self._filled[index]):
            with self._lock:
                return self._kept(index)
        assert self._table is not None
        return Operands([part[index] for part in self._table])

    def _kept(self, index: int) -> Operands:
        """The operands of one context, from now on kept; by one thread at a time."""
        if self._table is None:
            if index in self._recent:
                self._recent.move_to_end(index)
                return self._recent[index]
            made = self._made(index)
            if _bytes(made) * self._num_contexts > self._max_bytes:
                return self._remember(index, made)
            self._filled = bytearray(self._num_contexts)  # before the table, by which one goes
            with torch.inference_mode(False):
                self._table = Operands(
                    [part.new_empty(self._num_contexts, *part.shape) for part in made]
                )
            self._put(index, made)
        elif not self._filled[index]:
            self._put(index, self._made(index))
        return Operands([part[index] for part in self._table])

    def many(self, context: Tensor) -> Operands:
        """The operands of several contexts, each of shape (*context.shape, ...)."""
        return self._gathered(context) if self.complete else self._drawn(context)

    def _gathered(self, context: Tensor) -> Operands:
        assert self._table is not None
        # Not `part[context]`, which asks an index without dimensions for its value.
        flat = context.reshape(-1)
        return Operands(
            [
                part.index_select(0, flat).reshape(*context.shape, *part.shape[1:])
                for part in self._table
            ]
        )

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _drawn(self, context: Tensor) -> Operands:
        if hides_values(context):
            self.fill()
            return self._gathered(context)
        indices, position = torch.unique(context, return_inverse=True)
        # No index at all still gives operands, of the right shapes and without entries.
        rows = [self.one(index) for index in indices.tolist() or [0]]
        if self._table is not None:
            return self._gathered(context)
        stacked = [torch.stack(part) for part in zip(*rows, strict=True)]
        return Operands([part[position] for part in stacked])

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _made(self, index: int) -> Operands:
        # What is drawn while evaluating in inference mode must serve training, too.
        with torch.inference_mode(False):
            return self._make(index)

    def _put(self, index: int, made: Operands) -> None:
        assert self._table is not None
        for part, row in zip(self._table, made, strict=True):
            # `.data`, since autograd may hold other rows of this table for a backward pass to
            # come, and would take any write for a change of those.
            part.data[index] = row
        self._filled[index] = 1
        self._missing -= 1

    def _remember(self, index: int, made: Operands) -> Operands:
        self._recent[index] = made
        each = _bytes(made) + OVERHEAD * len(made)
        while len(self._recent) > 1 and len(self._recent) * each > self._max_bytes:
            self._recent.popitem(last=False)
        return made


def hides_values(context: Tensor) -> bool:
    """Whether a tensor's values cannot be looked at: it has none, or a transform hides them."""
    return (
        context.is_meta
        or type(context) is not Tensor
        or torch._C._functorch.is_functorch_wrapped_tensor(context)
    )


def _bytes(operands: Operands) -> int:
    return sum(part.numel() * part.element_size() for part in operands)
