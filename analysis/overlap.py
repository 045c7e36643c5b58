"""Subspace overlap measured: what two contexts share of the inputs' subspace."""

import torch
from torch import Tensor

from analysis._arguments import (
    PRECISE,
    check_broadcast,
    check_contexts,
    check_orthonormal,
    check_tensor,
    checked_indices,
    checked_integer,
    shape_of,
)
from psp_contexts import Contexts


def subspace_overlap(
    contexts: Contexts, basis: Tensor, stored: int | Tensor, read: int | Tensor
) -> Tensor:
    """‖Qᴴ C_k⁻¹ C_s Q‖_F² / d: mean squared cosine of the angles between C_k Q and C_s Q.

    Args:
        contexts: The family.
        basis: Orthonormal columns Q, shape (dim, d).
        stored: k, an index or a LongTensor (…).
        read: s, an index or a LongTensor (…).

    Returns:
        Broadcast shape (…) of the indices, in 0..1.

    Raises:
        IndexError: If an index is not that of a context.
        TypeError: If the basis is complex and the family real, or an argument of another type.
        ValueError: If the columns are not orthonormal, or the shapes do not fit.

    Example:
        >>> import torch
        >>> from analysis.overlap import subspace_overlap
        >>> from psp_contexts import BinaryContexts
        >>> contexts = BinaryContexts(16, num_contexts=4, seed=0)
        >>> two_units = torch.eye(16)[:, :2]  # which signs cannot leave
        >>> subspace_overlap(contexts, two_units, torch.tensor([0, 1]), torch.tensor([2, 3]))
        tensor([1., 1.])
    """
    return _cosines(contexts, basis, stored, read).abs().square().sum((-2, -1)) / basis.shape[1]


def principal_angles(
    contexts: Contexts, basis: Tensor, stored: int | Tensor, read: int | Tensor
) -> Tensor:
    """The angles between the subspaces C_k Q and C_s Q, smallest first, in radians.

    Arguments and errors as for `subspace_overlap`.

    Returns:
        Shape (…, d), in 0..π/2. Angles below the square root of the dtype's precision are not
        told from zero.

    Source:
        Björck and Golub 1973: arccosines of the singular values of Qᴴ U Q.

    Example:
        >>> import torch
        >>> from analysis.overlap import principal_angles
        >>> from psp_contexts import RotationContexts
        >>> contexts = RotationContexts(16, num_contexts=4, seed=0)
        >>> angles = principal_angles(contexts, torch.eye(16)[:, :3], stored=0, read=1)
        >>> angles.shape, bool((angles.diff() >= 0).all())
        (torch.Size([3]), True)
    """
    cosines: Tensor = torch.linalg.svdvals(_cosines(contexts, basis, stored, read))
    return cosines.clamp(max=1).acos()


def principal_basis(x: Tensor, rank: int) -> Tensor:
    """Orthonormal directions that hold most of the inputs' energy, as the columns of Q.

    Not centred: superposition turns the inputs themselves, their mean included.

    Args:
        x: Inputs, shape (n, dim).
        rank: d, at most min(n, dim).

    Returns:
        Shape (dim, d).

    Raises:
        TypeError: If x is no tensor of 32 or 64 bits, or `rank` no int.
        ValueError: If `rank` is not in 1..min(n, dim), or x holds what is not finite.

    Example:
        >>> import torch
        >>> from analysis.overlap import principal_basis
        >>> principal_basis(torch.tensor([[0.0, 2.0, 0.0], [1.0, 0.0, 0.0]]), rank=1).abs().T
        tensor([[0., 1., 0.]])
    """
    check_tensor("x", x, "n, dim", dtypes=PRECISE)
    rank = checked_integer("rank", rank)
    if not 1 <= rank <= min(x.shape):
        raise ValueError(
            f"principal_basis was asked for rank {rank} of inputs of shape {tuple(x.shape)}; pass "
            "x (n, dim) and a rank of at most either."
        )
    if not x.isfinite().all():
        raise ValueError("x holds what is not finite, which has no directions; leave it out.")
    basis: Tensor = torch.linalg.svd(x, full_matrices=False).Vh[:rank].mH
    return basis


def _cosines(contexts: Contexts, basis: Tensor, stored: int | Tensor, read: int | Tensor) -> Tensor:
    """Qᴴ C_k⁻¹ C_s Q, shape (…, d, d)."""
    check_contexts("contexts", contexts)
    check_orthonormal("basis", basis)
    if len(basis) != contexts.dim:
        raise ValueError(
            f"basis has shape {tuple(basis.shape)}, but the contexts act on vectors of length "
            f"{contexts.dim}; pass ({contexts.dim}, d)."
        )
    if basis.is_complex() and not contexts.is_complex:
        raise TypeError(
            f"{type(contexts).__name__} is real, but basis is {basis.dtype}; pass a real one."
        )
    stored = checked_indices("stored", stored, contexts)
    read = checked_indices("read", read, contexts)
    shape = check_broadcast(stored=shape_of(stored), read=shape_of(read))
    vectors = basis.mT.expand(*shape, -1, -1)
    kept, turned = (
        contexts.bind(vectors, index.unsqueeze(-1) if isinstance(index, Tensor) else index)
        for index in (stored, read)
    )
    return kept.conj() @ turned.mT
