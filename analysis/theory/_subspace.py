"""How much of a subspace two contexts share, and what a diagonal context pays for its shape."""

import torch
from torch import Tensor

from analysis.theory._double import double
from analysis.theory._families import Family, law_of
from analysis.theory._law import leverage_scores, power


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
        TypeError: If the basis is complex and the family real.
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
    basis = _orthonormal(basis)
    if offset == 0:
        raise ValueError(
            "offset=0 means one and the same context, where all overlaps; pass another."
        )
    law = law_of(family, len(basis))
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
        ValueError: If the columns are not orthonormal.

    Example:
        >>> import torch
        >>> from analysis.theory import coherence_penalty
        >>> coherence_penalty(torch.eye(16)[:, :2]).item()
        8.0
    """
    basis = _orthonormal(basis)
    dim, rank = basis.shape
    return dim * power(leverage_scores(basis)).sum() / rank**2


def _orthonormal(basis: Tensor) -> Tensor:
    """The basis in double precision on the CPU, if it is one."""
    if basis.dim() != 2 or not 1 <= basis.shape[1] <= basis.shape[0]:
        raise ValueError(
            f"a basis has shape (dim, d) with 1 <= d <= dim, but arrived with "
            f"{tuple(basis.shape)}; pass vectors as columns."
        )
    single = torch.finfo(basis.dtype).eps
    basis = double(basis)
    gram = basis.mH @ basis
    off = (gram - torch.eye(len(gram), dtype=gram.dtype, device=gram.device)).abs().max().item()
    if off > 100 * single * len(basis) ** 0.5:
        raise ValueError(
            f"the basis is not orthonormal: QᴴQ differs from the identity by {off:.2g}; use "
            "analysis.overlap.principal_basis, or torch.linalg.qr(...).Q."
        )
    return basis
