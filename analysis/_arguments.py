"""What arguments must be: each check names the argument, says what arrived and what to do."""

import itertools
import math
import operator
from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from psp_contexts import Contexts

FLOATING = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
PRECISE = frozenset({torch.float32, torch.float64, torch.complex64, torch.complex128})
"""What linear algebra is defined for."""

MOST_ENTRIES = 10**6
"""Of a sequence: longer ones are meant otherwise."""


def checked_integer(
    name: str, value: Any, least: int | None = None, most: int | None = None
) -> int:
    """The value as an int in least..most; numpy's integers and tensors of one serve as well."""
    integer = None
    if not isinstance(value, bool) and getattr(value, "dtype", None) != torch.bool:
        try:
            integer = int(operator.index(value))
        except (TypeError, RuntimeError):
            pass  # tensors and arrays have `__index__` even where they are no integer
    if integer is None:
        raise TypeError(f"{name} must be an int, but {_short(value)} is a {_kind(value)}.")
    if least is not None and integer < least:
        raise ValueError(f"{name}={integer} must be at least {least}.")
    if most is not None and integer > most:
        raise ValueError(f"{name}={integer} must be at most {most}.")
    return integer


def checked_integers(name: str, values: Any) -> list[int]:
    """A sequence of ints that are floats, too."""
    return [
        checked_integer(f"{name}[{at}]", value, -(10**300), 10**300)
        for at, value in enumerate(_entries(name, values))
    ]


def checked_number(name: str, value: Any, *, finite: bool = True) -> float:
    """The value as a float; numpy's numbers and tensors of one serve as well."""
    number = value
    if isinstance(value, Tensor | np.ndarray) and value.shape == ():
        number = None if getattr(value, "is_meta", False) else value.item()
    if isinstance(number, bool) or not isinstance(number, Real):
        raise TypeError(f"{name} must be a number, but {_short(value)} is a {_kind(value)}.")
    try:
        number = float(number)
    except OverflowError:
        number = math.inf
    if finite and not math.isfinite(number):
        raise ValueError(f"{name}={number:g} must be finite; pass a finite number.")
    return number


def checked_numbers(name: str, values: Any) -> list[float]:
    """A sequence of numbers, infinite and NaN ones included."""
    return [
        checked_number(f"{name}[{at}]", value, finite=False)
        for at, value in enumerate(_entries(name, values))
    ]


def checked_flag(name: str, value: Any) -> bool:
    """True or False, and nothing that merely counts as such."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, but {_short(value)} is a {_kind(value)}.")
    return value


def check_contexts(name: str, value: Any) -> None:
    """Refuse what is no family with its dim."""
    if not isinstance(value, Contexts):
        raise TypeError(
            f"{name} must be contexts, but {_short(value)} is a {_kind(value)}; pass a family "
            "with its dim, BinaryContexts(16, 50, seed=0), for example."
        )


def served_by(contexts: Contexts) -> frozenset[torch.dtype]:
    """The dtypes of the vectors that the family acts on."""
    return FLOATING | PRECISE if contexts.is_complex else FLOATING


def checked_index(name: str, value: Any, count: int, what: str = "contexts") -> int:
    """An int in 0..count-1."""
    index = checked_integer(name, value)
    if not 0 <= index < count:
        raise IndexError(f"{name}={index} is not one of the {count} {what} 0..{count - 1}.")
    return index


def checked_indices(name: str, value: Any, contexts: Contexts) -> int | Tensor:
    """An index of a context, or a LongTensor of such."""
    if not isinstance(value, Tensor):
        return checked_index(name, value, contexts.num_contexts)
    if value.dtype != torch.int64:
        raise TypeError(f"{name} must be a LongTensor, but is {value.dtype}; pass {name}.long().")
    _refuse_empty_places(name, value)
    for bound in value.aminmax() if value.numel() else ():
        checked_index(name, bound, contexts.num_contexts)
    return value


def shape_of(index: int | Tensor) -> torch.Size:
    """The shape of an index that `checked_indices` gave."""
    return index.shape if isinstance(index, Tensor) else torch.Size()


def check_dtype(name: str, value: Any) -> None:
    """Refuse what is no floating dtype."""
    if not isinstance(value, torch.dtype) or value not in FLOATING:
        raise TypeError(f"{name} must be a floating torch.dtype, but is {_short(value)}.")


def check_tensor(
    name: str,
    value: Any,
    shape: str,
    *,
    dtypes: frozenset[torch.dtype] | None = None,
    dim: int | None = None,
) -> None:
    """Refuse what is no tensor of numbers of this shape.

    Args:
        name: The argument.
        value: What arrived.
        shape: As the docstrings write it: "n, dim", or "…, dim" for any number before the last.
        dtypes: Those that serve; by default all of numbers.
        dim: What the last dimension must be.

    Raises:
        TypeError: If it is no tensor, or of another dtype.
        ValueError: If it is sparse, on the meta device, or of another shape.
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a Tensor, but {_short(value)} is a {_kind(value)}.")
    if value.dtype == torch.bool or (dtypes is not None and value.dtype not in dtypes):
        wanted = "numbers" if dtypes is None else ", ".join(sorted(map(str, dtypes)))
        raise TypeError(f"{name} must be a tensor of {wanted}, but is {value.dtype}; convert it.")
    _refuse_empty_places(name, value)
    least = shape.count(",") + (0 if shape.startswith("…") else 1)
    fits = value.dim() >= least if shape.startswith("…") else value.dim() == least
    if not fits or (dim is not None and value.shape[-1] != dim):
        meant = f" with dim={dim}" if dim is not None else ""
        raise ValueError(
            f"{name} must have shape ({shape}){meant}, but has {tuple(value.shape)}; reshape it."
        )


def check_orthonormal(name: str, basis: Any) -> None:
    """Refuse what are no orthonormal columns, shape (dim, d)."""
    check_tensor(name, basis, "dim, d", dtypes=PRECISE)
    if not 1 <= basis.shape[1] <= basis.shape[0]:
        raise ValueError(
            f"{name} must have shape (dim, d) with 1 <= d <= dim, but has {tuple(basis.shape)}; "
            "pass vectors as columns."
        )
    gram = basis.mH @ basis
    off = (gram - torch.eye(len(gram), dtype=gram.dtype, device=gram.device)).abs().max().item()
    if not off <= 100 * torch.finfo(basis.dtype).eps * len(basis) ** 0.5:
        raise ValueError(
            f"the columns of {name} are not orthonormal: QᴴQ differs from the identity by "
            f"{off:.2g}; use analysis.overlap.principal_basis, or torch.linalg.qr(...).Q."
        )


def check_broadcast(**shapes: torch.Size) -> torch.Size:
    """The shape to which these broadcast, if they do."""
    try:
        return torch.Size(torch.broadcast_shapes(*shapes.values()))
    except RuntimeError:
        found = ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items())
        raise ValueError(
            f"the leading dimensions of {', '.join(shapes)} must broadcast, but are {found}."
        ) from None


def check_room(**sizes: int) -> None:
    """Refuse sizes whose product is more numbers than a machine holds."""
    if math.prod(sizes.values()) > 2**33:
        found = " × ".join(f"{name}={size}" for name, size in sizes.items())
        raise ValueError(f"{found} are more than 2³³ numbers; ask for less, or a part at a time.")


def checked_device(name: str, value: Any) -> torch.device:
    """The device, if tensors with contents can be put there."""
    if not isinstance(value, str | torch.device):
        raise TypeError(f"{name} must be a torch.device, but {_short(value)} is a {_kind(value)}.")
    try:
        device = torch.device(value)
        torch.empty(0, device=device)
    except Exception as error:  # every backend has its own way to say that it is not there
        raise ValueError(
            f"{name}={str(value)!r} cannot be used on this machine ({str(error).split('. ')[0]}); "
            "pass 'cpu', or a device that is there."
        ) from error
    if device.type == "meta":
        raise ValueError(f"{name}='meta' holds no numbers; pass 'cpu' or 'cuda'.")
    return device


def _entries(name: str, values: Any) -> list[Any]:
    entries = None
    if isinstance(values, Iterable) and not isinstance(values, str | bytes | dict):
        try:
            entries = list(itertools.islice(values, MOST_ENTRIES + 1))
        except TypeError:
            pass  # arrays and tensors without dimensions
    if entries is None:
        raise TypeError(f"{name} must be a sequence, but {_short(values)} is a {_kind(values)}.")
    if len(entries) > MOST_ENTRIES:
        raise ValueError(f"{name} has more than {MOST_ENTRIES:,} entries; pass fewer.")
    return entries


def _refuse_empty_places(name: str, value: Tensor) -> None:
    if value.is_meta or value.layout != torch.strided:
        found = "on the meta device" if value.is_meta else f"of layout {value.layout}"
        raise ValueError(f"{name} must be a dense tensor with contents, but is {found}.")


def _kind(value: object) -> str:
    return type(value).__name__


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
