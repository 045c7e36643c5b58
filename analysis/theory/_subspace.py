"""Overlap of a subspace under two contexts, and the penalty of diagonal contexts."""

from jaxtyping import Float, Float64, Inexact
from torch import Tensor

from analysis._checks import check_orthonormal
from analysis.theory._algebra import double, energy, power
from analysis.theory._families import Family, prepare


def expected_overlap(
    family: Family, basis: Inexact[Tensor, "dim d"], *, offset: int | None = None
) -> Float64[Tensor, ""]:
    """E‖Qᴴ C_k⁻¹ C_s Q‖_F² / d: the mean squared cosine of the angles between C_k Q and C_s Q.

    For inputs in the span of Q, orthonormal, of rank d, it is d/M for Rotation, SignedPermutation
    and KroneckerRotation, whatever the subspace. For Binary, Complex and OnePower it is Σ_j h_j²/d
    with the leverage scores h: `coherence_penalty` times as much.

    Args:
        family: Contexts, or a class such as `BinaryContexts` (with its default options).
        basis: Orthonormal columns Q.
        offset: k − s, not 0; by default far apart. It matters for LocalMix alone.

    Returns:
        The overlap, in 0..1.

    Raises:
        NotImplementedError: If no closed form is known for the family.
        TypeError: If the basis is complex and the family real.
        ValueError: If the columns are not orthonormal, or `offset` is 0.

    Example:
        >>> import torch
        >>> from analysis.theory import expected_overlap
        >>> from psp_contexts import BinaryContexts, RotationContexts
        >>> two_units = torch.eye(16)[:, :2]
        >>> expected_overlap(RotationContexts, two_units).item()
        0.125
        >>> expected_overlap(BinaryContexts, two_units).item()  # signs do not mix units
        1.0
    """
    check_orthonormal(basis)
    moments, (rows,) = prepare(family, offset, basis=basis.mT)
    return moments.overlap(rows.mT, offset).real


def coherence_penalty(basis: Inexact[Tensor, "dim d"]) -> Float64[Tensor, ""]:
    """κ = M Σ_j h_j² / d²: the overlap under diagonal contexts, relative to rotations.

    At least 1, with equality if all units have the same leverage h_j = d/M. It is M/d for a
    subspace of d single units. Inputs with dead pixels lie in between.

    Args:
        basis: Orthonormal columns Q.

    Raises:
        ValueError: If the columns are not orthonormal.

    Example:
        >>> import torch
        >>> from analysis.theory import coherence_penalty
        >>> coherence_penalty(torch.eye(16)[:, :2]).item()
        8.0
    """
    check_orthonormal(basis)
    dim, rank = basis.shape
    return dim * power(energy(double(basis))).sum() / rank**2


def leverage_scores(basis: Inexact[Tensor, "dim d"]) -> Float[Tensor, " dim"]:
    """h = diag(Q Qᴴ): the share of each unit that lies in a subspace.

    Args:
        basis: Orthonormal columns Q.

    Returns:
        The scores, between 0 and 1, with sum d.

    Raises:
        ValueError: If the columns are not orthonormal.

    Example:
        >>> import torch
        >>> from analysis.theory import leverage_scores
        >>> leverage_scores(torch.eye(3)[:, :2])
        tensor([1., 1., 0.])
    """
    check_orthonormal(basis)
    return energy(basis)
