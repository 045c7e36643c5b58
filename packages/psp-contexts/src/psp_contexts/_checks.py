"""Checks that several functions share."""

from operator import index as to_index
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from psp_contexts._cache import hides_values

LARGEST_COUNT = 2**63 - 1
"""Number of indices that a LongTensor can hold."""

REAL_DTYPES = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
ALL_DTYPES = REAL_DTYPES | {torch.complex64, torch.complex128}


class AnyContexts(Protocol):
    """Attributes of contexts that the checks read."""

    dim: int
    num_contexts: int
    is_complex: ClassVar[bool]


def checked_count(argument: str, value: int, most: int = LARGEST_COUNT, least: int = 1) -> int:
    """Return an integer in least..most as an int; numpy's integers become one."""
    count = int(to_index(value))
    if count < least:
        raise ValueError(f"{argument} must be at least {least}, but is {count}.")
    if count > most:
        raise ValueError(f"{argument} must be at most {most}, but is {count}.")
    return count


def checked_context(contexts: AnyContexts, context: int | Tensor) -> int | Tensor:
    """Return an index in 0..num_contexts-1 as an int, or a LongTensor of such indices.

    The values of a tensor are checked where they can be read.
    """
    if not isinstance(context, Tensor):
        if type(context) is not int:  # int() of an int would end its dynamic tracing
            context = int(to_index(context))
        lowest = highest = context
    elif context.dtype != torch.int64:
        raise TypeError(
            f"context must be an int or a LongTensor, but is a tensor of {context.dtype}; "
            "convert it with .long()."
        )
    elif not context.numel() or torch.compiler.is_compiling() or hides_values(context):
        return context
    else:
        lowest, highest = (int(bound) for bound in context.aminmax())
    if lowest < 0 or highest >= contexts.num_contexts:
        index = lowest if lowest < 0 else highest
        remedy = (
            "negative indices do not count from the end."
            if index < 0
            else f"build the contexts with num_contexts={index + 1} or more to use it."
        )
        raise IndexError(
            f"context={index} is not one of the {contexts.num_contexts} contexts "
            f"0..{contexts.num_contexts - 1}; {remedy}"
        )
    return context


def check_dtype(contexts: AnyContexts, argument: str, dtype: torch.dtype) -> None:
    """Refuse integers, which would round contexts, and complex tensors for real families."""
    if dtype in (ALL_DTYPES if contexts.is_complex else REAL_DTYPES):
        return
    name = type(contexts).__name__
    if dtype in ALL_DTYPES:
        raise TypeError(
            f"{name} is real, but {argument} is {dtype}; use ComplexContexts or OnePowerContexts, "
            "or pass its real and imaginary parts one after the other."
        )
    raise TypeError(
        f"{name} needs {argument} as a floating tensor of 16 to 64 bits, but its dtype is {dtype}; "
        f"convert it, for example {argument}.float()."
    )


def check_vectors(
    contexts: AnyContexts, argument: str, x: Tensor, context: int | Tensor, trailing: int
) -> None:
    """Refuse vectors of another dtype or length, and an index that would broadcast them.

    Args:
        trailing: Number of dimensions of x that the index does not broadcast to.
    """
    check_dtype(contexts, argument, x.dtype)
    if x.dim() < trailing or x.shape[-1] != contexts.dim:
        shape = "(…, out, {})" if trailing == 2 else "(…, {})"
        raise ValueError(
            f"{type(contexts).__name__} acts on vectors of length {contexts.dim}: {argument} must "
            f"have shape {shape.format(contexts.dim)}, but has shape {tuple(x.shape)}."
        )
    leading = x.shape[: x.dim() - trailing]
    if isinstance(context, Tensor) and (
        context.dim() > len(leading)
        or any(
            size not in (1, wanted)
            for size, wanted in zip(context.shape[::-1], leading[::-1], strict=False)
        )
    ):
        raise ValueError(
            f"context has shape {tuple(context.shape)}, which does not broadcast to "
            f"{tuple(leading)}, the leading shape of {argument} {tuple(x.shape)}; pass an int, or "
            "a LongTensor that does."
        )
