"""Checks that several modules share."""

import operator

import torch
from torch import Tensor

LARGEST_OFFSET = 2**61
"""Sums of two offsets are still 64-bit integers."""


def check_offset(name: str, offset: int) -> None:
    """Refuse an offset that does not separate two contexts."""
    if not 0 < abs(operator.index(offset)) <= LARGEST_OFFSET:
        raise ValueError(
            f"{name}={offset} is not a distance between two contexts; pass 1 to 2**61, or negative."
        )


def check_orthonormal(basis: Tensor) -> None:
    """Refuse a basis whose columns are not orthonormal."""
    if basis.dim() != 2 or not basis.numel():
        raise ValueError(f"basis must have shape (dim, d) and columns, not {tuple(basis.shape)}.")
    gram = basis.mH @ basis
    error = (gram - torch.eye(len(gram), dtype=gram.dtype, device=gram.device)).abs().max().item()
    if not error <= 100 * torch.finfo(basis.dtype).eps * len(basis) ** 0.5:
        raise ValueError(
            f"the columns of basis, shape {tuple(basis.shape)}, are not orthonormal (error "
            f"{error:.2g}); use analysis.overlap.principal_basis, or torch.linalg.qr(...).Q."
        )
