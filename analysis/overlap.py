"""Measured overlap of the inputs' subspace under two contexts."""

import torch
from jaxtyping import Float, Inexact, Int64
from torch import Tensor

from analysis._checks import check_orthonormal
from psp_contexts import Contexts


def subspace_overlap(
    contexts: Contexts,
    basis: Inexact[Tensor, "dim d"],
    stored: int | Int64[Tensor, "*#batch"],
    read: int | Int64[Tensor, "*#batch"],
) -> Float[Tensor, "*batch"]:
    """‖Qᴴ C_k⁻¹ C_s Q‖_F² / d: mean squared cosine of the angles between C_k Q and C_s Q.

    Args:
        contexts: Contexts to measure.
        basis: Orthonormal columns Q.
        stored: Index k of the one context.
        read: Index s of the other context.

    Returns:
        The overlap, in 0..1.

    Raises:
        IndexError: If an index is not that of a context.
        TypeError: If the basis is complex and the family real.
        ValueError: If the columns are not orthonormal, or do not have the dim of the contexts.

    Example:
        >>> import torch
        >>> from analysis.overlap import subspace_overlap
        >>> from psp_contexts import BinaryContexts
        >>> contexts = BinaryContexts(16, num_contexts=4, seed=0)
        >>> two_units = torch.eye(16)[:, :2]  # signs do not mix units
        >>> subspace_overlap(contexts, two_units, torch.tensor([0, 1]), torch.tensor([2, 3]))
        tensor([1., 1.])
    """
    return _relative(contexts, basis, stored, read).abs().square().sum((-2, -1)) / basis.shape[1]


def principal_angles(
    contexts: Contexts,
    basis: Inexact[Tensor, "dim d"],
    stored: int | Int64[Tensor, "*#batch"],
    read: int | Int64[Tensor, "*#batch"],
) -> Float[Tensor, "*batch d"]:
    """Return the angles between the subspaces C_k Q and C_s Q, smallest first, in radians.

    Arguments and errors are those of `subspace_overlap`.

    Returns:
        Angles in 0..π/2. Angles below the square root of the dtype's precision may come out as
        zero.

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
    cosines: Tensor = torch.linalg.svdvals(_relative(contexts, basis, stored, read))
    return cosines.clamp(max=1).acos()


def principal_basis(x: Inexact[Tensor, "n dim"], rank: int) -> Inexact[Tensor, "dim {rank}"]:
    """Return the orthonormal directions that hold most of the inputs' energy, as columns.

    The inputs are not centred: contexts act on the inputs themselves, including their mean.

    Args:
        x: Inputs.
        rank: d, from 1 to min(n, dim).

    Raises:
        ValueError: If `x` is not a matrix, or `rank` is out of range.

    Example:
        >>> import torch
        >>> from analysis.overlap import principal_basis
        >>> principal_basis(torch.tensor([[0.0, 2.0, 0.0], [1.0, 0.0, 0.0]]), rank=1).abs().T
        tensor([[0., 1., 0.]])
    """
    if x.dim() != 2 or not 1 <= rank <= min(x.shape):
        raise ValueError(
            f"rank={rank} must be in 1..min(n, dim) for inputs (n, dim), not {tuple(x.shape)}."
        )
    basis: Tensor = torch.linalg.svd(x, full_matrices=False).Vh[:rank].mH
    return basis


def _relative(
    contexts: Contexts, basis: Tensor, stored: int | Tensor, read: int | Tensor
) -> Tensor:
    """Qᴴ C_k⁻¹ C_s Q, shape (…, d, d)."""
    check_orthonormal(basis)
    indices = [index.shape for index in (stored, read) if isinstance(index, Tensor)]
    vectors = basis.mT.expand(*torch.broadcast_shapes(*indices), -1, -1)
    stored_vectors, read_vectors = (
        contexts.bind(vectors, index.unsqueeze(-1) if isinstance(index, Tensor) else index)
        for index in (stored, read)
    )
    return stored_vectors.conj() @ read_vectors.mT
