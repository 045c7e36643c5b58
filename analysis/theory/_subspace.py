"""How much of a subspace two contexts share, and what a diagonal context pays for its shape."""

from torch import Tensor

from analysis._arguments import check_orthonormal
from analysis.theory._double import double
from analysis.theory._families import Family, check_offset, law_of
from analysis.theory._law import leverage, power


def expected_overlap(family: Family, basis: Tensor, *, offset: int | None = None) -> Tensor:
    """E‖Qᴴ C_k⁻¹ C_s Q‖_F² / d: how much of a subspace two contexts share.

    That is the mean squared cosine of the principal angles between C_k Q and C_s Q. For inputs in
    the span of Q, orthonormal, of rank d: d/M for Rotation, SignedPermutation and
    KroneckerRotation whatever the subspace; for Binary, Complex and OnePower Σ_j h_j²/d with the
    leverage scores h, which is `coherence_penalty` times as much.

    Args:
        family: Contexts, or a class such as `BinaryContexts` (with its default options).
        basis: Orthonormal columns Q, shape (dim, d).
        offset: k − s, not 0; by default far apart. Only LocalMix minds.

    Returns:
        Scalar, float64, in 0..1.

    Raises:
        NotImplementedError: If no closed form is known for the family.
        TypeError: If the basis is complex and the family real, or an argument of another type.
        ValueError: If the columns are not orthonormal, or `offset` is 0.

    Example:
        >>> import torch
        >>> from analysis.theory import expected_overlap
        >>> from psp_contexts import BinaryContexts, RotationContexts
        >>> two_units = torch.eye(16)[:, :2]
        >>> expected_overlap(RotationContexts, two_units).item()
        0.125
        >>> expected_overlap(BinaryContexts, two_units).item()  # signs cannot leave the units
        1.0
    """
    check_orthonormal("basis", basis)
    check_offset("offset", offset)
    law, basis = law_of(family, len(basis)), double(basis)
    if basis.is_complex() and not law.is_complex:
        raise TypeError(f"{law.name} is real, but the basis is {basis.dtype}; pass a real one.")
    return law.overlap(basis, offset).real


def coherence_penalty(basis: Tensor) -> Tensor:
    """κ = M Σ_j h_j² / d²: how much more diagonal contexts let a subspace overlap than rotations.

    At least 1, with equality if every unit has the same leverage h_j = d/M; M/d for d units taken
    alone. Inputs with dead pixels are in between.

    Args:
        basis: Orthonormal columns Q, shape (M, d).

    Returns:
        Scalar, float64.

    Raises:
        TypeError: If the basis is no tensor of numbers.
        ValueError: If the columns are not orthonormal.

    Example:
        >>> import torch
        >>> from analysis.theory import coherence_penalty
        >>> coherence_penalty(torch.eye(16)[:, :2]).item()
        8.0
    """
    check_orthonormal("basis", basis)
    dim, rank = basis.shape
    return dim * power(leverage(double(basis))).sum() / rank**2


def leverage_scores(basis: Tensor) -> Tensor:
    """How much of each unit lies in a subspace: h = diag(Q Qᴴ).

    Args:
        basis: Orthonormal columns Q, shape (dim, d).

    Returns:
        Shape (dim,), between 0 and 1, with sum d.

    Raises:
        TypeError: If the basis is no tensor of numbers.
        ValueError: If the columns are not orthonormal.

    Example:
        >>> import torch
        >>> from analysis.theory import leverage_scores
        >>> leverage_scores(torch.eye(3)[:, :2])
        tensor([1., 1., 0.])
    """
    check_orthonormal("basis", basis)
    return leverage(basis)
