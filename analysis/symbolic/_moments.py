"""Moments of the interference, derived exactly from the definitions of the families."""

import sympy as sp

from analysis._checks import check_offset
from analysis.symbolic._phases import Factor, is_phased, phase_product
from analysis.symbolic._random import Expr
from analysis.symbolic._real import real_moment, real_product
from psp_contexts import Contexts, PermutationContexts, SignedPermutationContexts

LARGEST_DIM = 9
LARGEST_PERMUTED = 5
"""Above these dims the terms take more than minutes to write out."""


def vectors(dim: int) -> tuple[list[Expr], list[Expr]]:
    """Return the symbols w0, w1, … and x0, x1, … in which the moments are written.

    Args:
        dim: Number of symbols of each kind.

    Example:
        >>> from analysis.symbolic import vectors
        >>> vectors(2)
        ([w0, w1], [x0, x1])
    """
    return _symbols("w", dim), _symbols("x", dim)


def mean(contexts: Contexts, *, offset: int = 1) -> Expr:
    """Derive E[wᵀUx], U = C_k⁻¹ C_s, as an average over the definition of the family.

    Args:
        contexts: Contexts with their options. All terms are written out, so the dim is at most 9,
            or 5 for permutations, and the size of rotations at most 3.
        offset: k − s, not 0. It matters for OnePower and LocalMix alone.

    Returns:
        An expression in the symbols of `vectors`.

    Raises:
        ValueError: If the dim is too large, or `offset` is 0.
        NotImplementedError: If the family is not one of psp_contexts, or a rotation too large.

    Example:
        >>> from analysis import symbolic
        >>> from psp_contexts import PermutationContexts
        >>> contexts = PermutationContexts(2, num_contexts=2, seed=0)
        >>> symbolic.mean(contexts)
        w0*x0/2 + w0*x1/2 + w1*x0/2 + w1*x1/2
    """
    w, x = _vectors_of(contexts, offset=offset)
    if is_phased(contexts):
        return phase_product(contexts, [Factor(w, offset)], x)
    return real_moment(contexts, w, x, 1)


def second_moment(contexts: Contexts, *, offset: int = 1) -> Expr:
    """Derive E|wᵀUx|². Arguments and errors are those of `mean`.

    Example:
        >>> import sympy
        >>> from analysis import symbolic
        >>> from psp_contexts import RotationContexts
        >>> sympy.factor(symbolic.second_moment(RotationContexts(2, num_contexts=2, seed=0)))
        (w0**2 + w1**2)*(x0**2 + x1**2)/2
    """
    w, x = _vectors_of(contexts, offset=offset)
    if is_phased(contexts):
        return phase_product(contexts, [Factor(w, offset), Factor(w, offset, True)], x)
    return real_moment(contexts, w, x, 2)


def pseudo_moment(contexts: Contexts, *, offset: int = 1) -> Expr:
    """Derive E[(wᵀUx)²], without the modulus. Arguments and errors are those of `mean`."""
    w, x = _vectors_of(contexts, offset=offset)
    if is_phased(contexts):
        return phase_product(contexts, [Factor(w, offset), Factor(w, offset)], x)
    return real_moment(contexts, w, x, 2)


def fourth_moment(contexts: Contexts, *, offset: int = 1) -> Expr:
    """Derive E|wᵀUx|⁴. Arguments and errors are those of `mean`."""
    w, x = _vectors_of(contexts, offset=offset)
    if is_phased(contexts):
        factors = [Factor(w, offset, conjugate) for conjugate in (False, False, True, True)]
        return phase_product(contexts, factors, x)
    return real_moment(contexts, w, x, 4)


def real_product_moment(contexts: Contexts, *, offset: int, other_offset: int) -> Expr:
    """Derive E[Re(wᵀUx) Re(vᵀU′x)] of two stored models when one is read.

    Args:
        contexts: See `mean`.
        offset: k − s of the model with row w, not 0.
        other_offset: k′ − s of the model with row v, neither 0 nor `offset`.

    Returns:
        An expression in the symbols of `vectors` and v0, v1, ….

    Raises:
        NotImplementedError, ValueError: See `mean`; and if the offsets are equal.

    Example:
        >>> from analysis import symbolic
        >>> from psp_contexts import OnePowerContexts
        >>> contexts = OnePowerContexts(2, num_contexts=2, seed=0)
        >>> symbolic.real_product_moment(contexts, offset=3, other_offset=-3)
        v0*w0*x0**2/2 + v1*w1*x1**2/2
    """
    w, x = _vectors_of(contexts, offset=offset, other_offset=other_offset)
    if offset == other_offset:
        raise ValueError(
            f"offset and other_offset are both {offset}; for one model, use second_moment."
        )
    v = _symbols("v", contexts.dim)
    if not is_phased(contexts):
        return real_product(contexts, w, v, x)
    parts = [
        phase_product(contexts, [Factor(w, offset), Factor(v, other_offset, conjugate)], x)
        for conjugate in (False, True)
    ]
    # Re a · Re b = Re (a b + a b*) / 2, and these averages are real.
    return sp.expand(sum(parts) / 2)


def _symbols(letter: str, dim: int) -> list[Expr]:
    return [sp.Symbol(f"{letter}{unit}", real=True) for unit in range(dim)]


def _vectors_of(contexts: Contexts, **offsets: int) -> tuple[list[Expr], list[Expr]]:
    """Return `vectors`, after checks of the offsets and of the number of terms."""
    permuted = isinstance(contexts, PermutationContexts | SignedPermutationContexts)
    largest = LARGEST_PERMUTED if permuted else LARGEST_DIM
    if contexts.dim > largest:
        raise ValueError(
            f"symbolic writes out every term, up to dim={largest} for {type(contexts).__name__}, "
            f"but the contexts have dim={contexts.dim}; use analysis.theory for larger dims."
        )
    for name, offset in offsets.items():
        check_offset(name, offset)
    return vectors(contexts.dim)
