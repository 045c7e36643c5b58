"""The moments of interference, derived exactly from what the families are."""

import sympy as sp

from analysis._arguments import check_contexts, checked_integer
from analysis.symbolic._chance import Expr
from analysis.symbolic._phases import Factor, is_phased, phase_product
from analysis.symbolic._real import real_moment, real_product
from psp_contexts import Contexts, PermutationContexts, SignedPermutationContexts

LARGEST_DIM = 9
LARGEST_PERMUTED = 5
"""Above these, there are more terms than can be written out in minutes."""


def vectors(dim: int) -> tuple[list[Expr], list[Expr]]:
    """The symbols w0, w1, … and x0, x1, … that the moments are written in.

    Args:
        dim: How many of each, 1 to 1000.

    Raises:
        TypeError, ValueError: If `dim` is no such number.

    Example:
        >>> from analysis.symbolic import vectors
        >>> vectors(2)
        ([w0, w1], [x0, x1])
    """
    dim = checked_integer("dim", dim, 1, 1000)
    w, x = (sp.symbols(f"{letter}0:{dim}", real=True) for letter in "wx")
    return list(w), list(x)


def mean(contexts: Contexts, *, offset: int = 1) -> Expr:
    """E[wᵀUx], U = C_k⁻¹ C_s, averaged over the definition of the family.

    Args:
        contexts: The family, with its dim and options; the dim at most 9, or 5 for permutations,
            since every term is written out. Sizes of rotations are at most 3.
        offset: k − s, not 0. Only OnePower and LocalMix mind.

    Returns:
        An expression in the symbols of `vectors`.

    Raises:
        TypeError: If `contexts` is no family with its dim, or `offset` no int.
        ValueError: If the dim is too large, or `offset` is 0.
        NotImplementedError: If the family is not one of psp_contexts, or a rotation too large.

    Example:
        >>> from analysis import symbolic
        >>> from psp_contexts import PermutationContexts
        >>> contexts = PermutationContexts(2, num_contexts=2, seed=0)
        >>> symbolic.mean(contexts)
        w0*x0/2 + w0*x1/2 + w1*x0/2 + w1*x1/2
    """
    offset = _checked(contexts, "offset", offset)
    w, x = vectors(contexts.dim)
    if is_phased(contexts):
        return phase_product(contexts, [Factor(w, offset)], x)
    return real_moment(contexts, w, x, 1)


def second_moment(contexts: Contexts, *, offset: int = 1) -> Expr:
    """E|wᵀUx|²; arguments and errors as for `mean`.

    Example:
        >>> import sympy
        >>> from analysis import symbolic
        >>> from psp_contexts import RotationContexts
        >>> sympy.factor(symbolic.second_moment(RotationContexts(2, num_contexts=2, seed=0)))
        (w0**2 + w1**2)*(x0**2 + x1**2)/2
    """
    offset = _checked(contexts, "offset", offset)
    w, x = vectors(contexts.dim)
    if is_phased(contexts):
        return phase_product(contexts, [Factor(w, offset), Factor(w, offset, True)], x)
    return real_moment(contexts, w, x, 2)


def pseudo_moment(contexts: Contexts, *, offset: int = 1) -> Expr:
    """E[(wᵀUx)²], without the modulus; arguments and errors as for `mean`."""
    offset = _checked(contexts, "offset", offset)
    w, x = vectors(contexts.dim)
    if is_phased(contexts):
        return phase_product(contexts, [Factor(w, offset), Factor(w, offset)], x)
    return real_moment(contexts, w, x, 2)


def fourth_moment(contexts: Contexts, *, offset: int = 1) -> Expr:
    """E|wᵀUx|⁴; arguments and errors as for `mean`."""
    offset = _checked(contexts, "offset", offset)
    w, x = vectors(contexts.dim)
    if is_phased(contexts):
        factors = [Factor(w, offset, conjugate) for conjugate in (False, False, True, True)]
        return phase_product(contexts, factors, x)
    return real_moment(contexts, w, x, 4)


def real_product_moment(contexts: Contexts, *, offset: int, other_offset: int) -> Expr:
    """E[Re(wᵀUx) Re(vᵀU′x)] of two stored models when one is read.

    Args:
        contexts: See `mean`.
        offset: k − s of the model with row w, not 0.
        other_offset: k′ − s of the model with row v, not 0, another than `offset`.

    Returns:
        An expression in the symbols of `vectors` and v0, v1, ….

    Raises:
        NotImplementedError, TypeError, ValueError: As `mean`, and if the offsets are equal.

    Example:
        >>> from analysis import symbolic
        >>> from psp_contexts import OnePowerContexts
        >>> contexts = OnePowerContexts(2, num_contexts=2, seed=0)
        >>> symbolic.real_product_moment(contexts, offset=3, other_offset=-3)
        v0*w0*x0**2/2 + v1*w1*x1**2/2
    """
    offset = _checked(contexts, "offset", offset)
    other_offset = _checked(contexts, "other_offset", other_offset)
    if offset == other_offset:
        raise ValueError(
            f"offset and other_offset are both {offset}, but mean two models; for one, use "
            "second_moment."
        )
    w, x = vectors(contexts.dim)
    other = list(sp.symbols(f"v0:{contexts.dim}", real=True))
    if not is_phased(contexts):
        return real_product(contexts, w, other, x)
    parts = [
        phase_product(contexts, [Factor(w, offset), Factor(other, other_offset, conjugate)], x)
        for conjugate in (False, True)
    ]
    # Re a · Re b = Re (a b + a b*) / 2, and these averages are real.
    return sp.expand(sum(parts) / 2)


def _checked(contexts: Contexts, name: str, offset: int) -> int:
    """The offset, if it is one and the family small enough."""
    check_contexts("contexts", contexts)
    permuted = isinstance(contexts, PermutationContexts | SignedPermutationContexts)
    largest = LARGEST_PERMUTED if permuted else LARGEST_DIM
    if contexts.dim > largest:
        raise ValueError(
            f"contexts have dim={contexts.dim}, but symbolic writes out every term, and can up to "
            f"dim {largest} of {type(contexts).__name__}; use analysis.theory for larger ones."
        )
    offset = checked_integer(name, offset)
    if offset == 0:
        raise ValueError(f"{name}=0 means one and the same context, where U = I; pass another.")
    return offset
