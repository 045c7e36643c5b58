"""Which law holds for which family."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from analysis._arguments import check_broadcast, check_tensor, checked_integer
from analysis.theory._diagonal import (
    BinaryMoments,
    ComplexMoments,
    LocalMixMoments,
    OnePowerMoments,
)
from analysis.theory._double import double
from analysis.theory._law import IdentityMoments, Moments
from analysis.theory._permutation import PermutationMoments, SignedPermutationMoments
from analysis.theory._rotation import (
    BlockRotationMoments,
    KroneckerRotationMoments,
    RotationMoments,
)
from psp_contexts import (
    BinaryContexts,
    BlockRotationContexts,
    ComplexContexts,
    Contexts,
    IdentityContexts,
    KroneckerRotationContexts,
    LocalMixContexts,
    OnePowerContexts,
    PermutationContexts,
    RotationContexts,
    SignedPermutationContexts,
)

Family = Contexts | Callable[..., Contexts]
"""Contexts, or what makes them when called with (dim, num_contexts, seed=…), such as a class."""

LARGEST_OFFSET = 2**61
"""Sums of two offsets are still 64-bit integers."""

# By exact class: a subclass draws other contexts, and may follow another law.
_LAWS: dict[type[Contexts], Callable[[Any], Moments]] = {
    IdentityContexts: lambda contexts: IdentityMoments(),
    RotationContexts: lambda contexts: RotationMoments(),
    BlockRotationContexts: lambda contexts: BlockRotationMoments(contexts.block_size),
    KroneckerRotationContexts: lambda contexts: KroneckerRotationMoments(contexts.sizes),
    PermutationContexts: lambda contexts: PermutationMoments(),
    SignedPermutationContexts: lambda contexts: SignedPermutationMoments(),
    ComplexContexts: lambda contexts: ComplexMoments(),
    OnePowerContexts: lambda contexts: OnePowerMoments(),
    BinaryContexts: lambda contexts: BinaryMoments(),
    LocalMixContexts: lambda contexts: LocalMixMoments(contexts.neighbours),
}


def law_of(family: Family, dim: int) -> Moments:
    """The law of interference between fixed contexts of a family.

    Args:
        family: Contexts, whose options count (block size, neighbours), or a class, whose
            defaults do.
        dim: Length of the vectors that the law is asked about.

    Raises:
        TypeError: If `family` is neither contexts nor what makes them.
        ValueError: If `family` is contexts of another length, or has none of that length.
        NotImplementedError: If no law is known: a family of your own, or learned contexts.
    """
    contexts = _contexts_of(family, dim)
    name = type(contexts).__name__
    if contexts.dim != dim:
        raise ValueError(
            f"family={name} acts on vectors of length {contexts.dim}, but theory was asked about "
            f"length {dim}; pass contexts of that length, or the class."
        )
    if getattr(contexts, "learned", False):
        raise NotImplementedError(
            f"theory was asked about the family of learned {name}, which go where training leads; "
            "measure them with analysis.retrieval, or ask about the fixed one they start from."
        )
    if type(contexts) not in _LAWS:
        raise NotImplementedError(
            f"theory knows no law for {name}, the family; measure it with analysis.retrieval, or "
            f"ask about one of {', '.join(sorted(known.__name__ for known in _LAWS))}."
        )
    law = _LAWS[type(contexts)](contexts)
    law.name = name
    return law


def checked_law(
    family: Family, w: Tensor, x: Tensor, offset: int | None
) -> tuple[Moments, Tensor, Tensor]:
    """The family's law, and both vectors in double precision and one dtype, on the CPU.

    Raises:
        NotImplementedError: As `law_of`.
        TypeError: If a vector is complex and the family real, or an argument of another type.
        ValueError: If the shapes do not fit, or `offset` is 0.
    """
    check_tensor("w", w, "…, dim")
    check_tensor("x", x, "…, dim")
    if not (w.dim() and x.dim() and w.shape[-1] == x.shape[-1]):
        raise ValueError(
            f"theory got w of shape {tuple(w.shape)} and x of shape {tuple(x.shape)}; pass "
            "(…, dim) and (…, dim) with the same dim."
        )
    check_broadcast(w=w.shape[:-1], x=x.shape[:-1])
    check_offset("offset", offset)
    law = law_of(family, w.shape[-1])
    if (w.is_complex() or x.is_complex()) and not law.is_complex:
        raise TypeError(
            f"{law.name} is real, but w is {w.dtype} and x is {x.dtype}; pass real and imaginary "
            "part one after the other."
        )
    w, x = double(w), double(x)
    dtype = torch.promote_types(w.dtype, x.dtype)
    return law, w.to(dtype), x.to(dtype)


def check_offset(name: str, offset: Any) -> None:
    """Refuse what is no distance between two contexts."""
    if offset is not None and checked_integer(name, offset, -LARGEST_OFFSET, LARGEST_OFFSET) == 0:
        raise ValueError(f"{name}=0 means one and the same context, where U = I; pass another.")


def _contexts_of(family: Any, dim: int) -> Contexts:
    if isinstance(family, Contexts):
        return family
    made = None
    if callable(family):
        try:
            made = family(dim, 2, seed=0)
        except ValueError as error:
            raise ValueError(f"family has no contexts of length {dim}: {error}") from error
        except Exception:  # whatever else a callable does that is no family
            made = None
    if not isinstance(made, Contexts):
        raise TypeError(
            f"family must be contexts, or a class such as BinaryContexts, but is {family!r}."
        )
    return made
