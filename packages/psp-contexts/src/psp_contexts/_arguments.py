"""What arguments must be: each check names the argument, says what arrived and what to do."""

import json
import operator
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from psp_contexts._cache import hides_values

LARGEST_DIM = 2**32
"""More than memory holds of; below it, finding the factors of a length takes no time."""

LARGEST_COUNT = 2**63 - 1
"""As many indices as a LongTensor can tell apart."""

REAL_DTYPES = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
ALL_DTYPES = REAL_DTYPES | {torch.complex64, torch.complex128}


class Family(Protocol):
    """What the checks need to know of contexts."""

    dim: int
    num_contexts: int
    is_complex: ClassVar[bool]


def checked_integer(
    argument: str, value: Any, least: int | None = None, most: int | None = None
) -> int:
    """An int in least..most, or what stands for one, as numpy's integers do; no bool, no tensor."""
    integer = None
    if not isinstance(value, bool | Tensor):
        try:
            integer = operator.index(value)
        except TypeError:
            pass  # an array may have `__index__` and yet be no integer
    if integer is None:
        raise TypeError(
            f"{argument} must be an int, but {value!r} is a {type(value).__name__}; pass an int."
        )
    if least is not None and integer < least:
        raise ValueError(f"{argument} must be at least {least}, but is {integer}.")
    if most is not None and integer > most:
        raise ValueError(f"{argument} must be at most {most}, but is {integer}.")
    return integer


def checked_count(argument: str, value: Any, most: int = LARGEST_COUNT) -> int:
    """An int in 1..most."""
    return checked_integer(argument, value, 1, most)


def checked_text(argument: str, value: Any) -> str:
    """A str that has a UTF-8 form, since contexts are drawn from that."""
    if not isinstance(value, str):
        raise TypeError(
            f"{argument} must be a str, but {value!r} is a {type(value).__name__}; pass a str."
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{argument}={value!r} has no UTF-8 form (a lone surrogate); pass whole characters."
        ) from None
    return str.__str__(value)  # a member of an Enum would be drawn from under its name


def checked_flag(argument: str, value: Any) -> bool:
    """True or False, and nothing that merely counts as such."""
    if not isinstance(value, bool):
        raise TypeError(
            f"{argument} must be True or False, but {value!r} is a {type(value).__name__}."
        )
    return value


def check_dtype(argument: str, value: Any) -> None:
    """Refuse what is not a dtype that contexts have."""
    if not isinstance(value, torch.dtype) or value not in ALL_DTYPES:
        raise TypeError(
            f"{argument} must be a floating or complex torch.dtype of 16 to 64 bits, but is "
            f"{value!r}; pass torch.float32, for example."
        )


def check_vectors(family: Family, argument: str, x: Any, dim: int | None) -> None:
    """Refuse what is not a tensor of vectors, of length `dim` if that is given."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{argument} must be a Tensor, but is a {type(x).__name__}.")
    if x.dtype not in (ALL_DTYPES if family.is_complex else REAL_DTYPES):
        raise _wrong_dtype(family, argument, x)
    if x.layout is not torch.strided:
        raise TypeError(
            f"{argument} must be a dense tensor, but its layout is {x.layout}; pass "
            f"{argument}.to_dense()."
        )
    if dim is not None and (x.dim() == 0 or x.shape[-1] != dim):
        raise ValueError(
            f"{type(family).__name__} acts on vectors of length {dim}, but {argument} has shape "
            f"{tuple(x.shape)}; build it with dim={x.shape[-1] if x.dim() else 1} or reshape "
            f"{argument}."
        )


def checked_context(family: Family, context: Any, like: Tensor) -> int | Tensor:
    """An index in 0..num_contexts-1 as an int, or a LongTensor of such, for use with `like`."""
    if not isinstance(context, Tensor):
        try:
            index = operator.index(context)
        except TypeError:
            index = None
        if index is None or isinstance(context, bool):
            raise TypeError(
                f"context must be an int or a LongTensor, but {context!r} is a "
                f"{type(context).__name__}."
            )
        if not 0 <= index < family.num_contexts:
            raise no_such_context("context", index, family.num_contexts)
        return index
    if context.dtype != torch.int64:
        raise TypeError(
            f"context must be an int or a LongTensor, but is a tensor of {context.dtype}; "
            "convert it with .long()."
        )
    if context.is_meta and not like.is_meta:
        raise ValueError(
            "context is on the meta device and says nothing of which contexts are meant; pass "
            f"indices on {like.device}."
        )
    if context.numel() and not (torch.compiler.is_compiling() or hides_values(context)):
        low, high = (int(bound) for bound in context.aminmax())
        if low < 0 or high >= family.num_contexts:
            raise no_such_context("context", low if low < 0 else high, family.num_contexts)
    return context


def check_alignment(argument: str, x: Tensor, context: Tensor, trailing: int) -> None:
    """Refuse indices that do not broadcast to the leading dimensions of x."""
    leading = x.shape[: x.dim() - trailing]
    missing = len(leading) - len(context.shape)
    if missing < 0 or any(
        size not in (1, wanted)
        for size, wanted in zip(context.shape, leading[missing:], strict=True)
    ):
        raise ValueError(
            f"context has shape {tuple(context.shape)}, which does not broadcast to "
            f"{tuple(leading)}, the leading shape of {argument} {tuple(x.shape)}; pass an int, or "
            "a LongTensor that does."
        )


def checked_index(argument: str, value: Any, num_contexts: int) -> int:
    """An int in 0..num_contexts-1."""
    index = checked_integer(argument, value)
    if not 0 <= index < num_contexts:
        raise no_such_context(argument, index, num_contexts)
    return index


def no_such_context(argument: str, index: int, num_contexts: int) -> IndexError:
    """What to raise for an index that is not one of the contexts."""
    remedy = (
        "negative indices do not count from the end."
        if index < 0
        else f"build the family with num_contexts={index + 1} or more to use it."
    )
    return IndexError(
        f"{argument}={index} is not one of the {num_contexts} contexts 0..{num_contexts - 1}; "
        f"{remedy}"
    )


def checked_spec(argument: str, state: Any) -> dict[str, Any]:
    """The spec in the extra state of a family."""
    if not isinstance(state, Tensor):
        raise TypeError(f"{argument} must be a Tensor, but is a {type(state).__name__}.")
    spec = None
    if state.dtype == torch.uint8 and state.dim() == 1 and not state.is_meta:
        try:
            spec = json.loads(bytes(state.tolist()))
        except (ValueError, RecursionError):
            pass
    if not isinstance(spec, dict):
        raise ValueError(
            f"{argument} is not the state of contexts, but a tensor of {state.dtype} of shape "
            f"{tuple(state.shape)} that names none; pass what get_extra_state returns."
        )
    return spec


def _wrong_dtype(family: Family, argument: str, x: Tensor) -> TypeError:
    name = type(family).__name__
    if x.is_complex() and not family.is_complex:
        return TypeError(
            f"{name} is real, but {argument} is {x.dtype}; use ComplexContexts or "
            f"OnePowerContexts, or pass its real and imaginary parts one after the other."
        )
    return TypeError(
        f"{name} needs {argument} floating, of 16 to 64 bits, but it is {x.dtype}; convert it, "
        f"for example {argument}.float()."
    )
