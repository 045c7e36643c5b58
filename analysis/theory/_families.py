"""The closed forms that belong to each family."""

from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from analysis._checks import check_offset
from analysis.theory._algebra import double
from analysis.theory._diagonal import (
    BinaryMoments,
    ComplexMoments,
    LocalMixMoments,
    OnePowerMoments,
)
from analysis.theory._moments import IdentityMoments, Moments
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
"""Contexts, or a function (dim, num_contexts, seed=…) that returns them, such as a class."""

# By exact class: a subclass draws other contexts and may have other moments.
_MOMENTS: dict[type[Contexts], Callable[[Any], Moments]] = {
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


def moments_of(family: Family, dim: int) -> Moments:
    """Return the moments of interference between fixed contexts of a family.

    Args:
        family: Contexts with their options (block size, neighbours), or a class with its defaults.
        dim: Length of the vectors.

    Raises:
        ValueError: If `family` acts on vectors of another length.
        NotImplementedError: If no closed form is known: an unknown class, or learned contexts.
    """
    contexts = family if isinstance(family, Contexts) else family(dim, 2, seed=0)
    if type(contexts) not in _MOMENTS or getattr(contexts, "learned", False):
        raise NotImplementedError(
            f"no moments are known for {contexts}; measure it with analysis.retrieval."
        )
    if contexts.dim != dim:
        raise ValueError(
            f"vectors have length {dim}, but contexts are {contexts}; pass contexts of that length."
        )
    moments = _MOMENTS[type(contexts)](contexts)
    moments.name = type(contexts).__name__
    return moments


def prepare(family: Family, offset: int | None, **vectors: Tensor) -> tuple[Moments, list[Tensor]]:
    """Return a family's moments, and the vectors in double precision and one dtype, on the CPU.

    Args:
        family: See `moments_of`.
        offset: k − s, not 0, or None.
        vectors: Tensors of shape (…, dim), by the names of the arguments.

    Raises:
        NotImplementedError: If no closed form is known for the family.
        TypeError: If a vector is complex and the family real.
        ValueError: If the vectors differ in length, or `offset` is 0.
    """
    lengths = {name: tuple(vector.shape[-1:]) for name, vector in vectors.items()}
    if len(set(lengths.values())) > 1 or () in lengths.values():
        shapes = ", ".join(f"{name} {tuple(vector.shape)}" for name, vector in vectors.items())
        raise ValueError(f"the last dimensions must be the same dim, but the shapes are {shapes}.")
    if offset is not None:
        check_offset("offset", offset)
    moments = moments_of(family, next(iter(lengths.values()))[0])
    for name, vector in vectors.items():
        if vector.is_complex() and not moments.is_complex:
            raise TypeError(
                f"{moments.name} is real, but {name} is {vector.dtype}; pass .real, then .imag."
            )
    doubled = [double(vector) for vector in vectors.values()]
    dtype = reduce(torch.promote_types, (vector.dtype for vector in doubled))
    return moments, [vector.to(dtype) for vector in doubled]
