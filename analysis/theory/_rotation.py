"""Moments of the rotations: Haar, block-diagonal, and Kronecker products."""

import torch
from torch import Tensor

from analysis.theory._algebra import dot, energy, power
from analysis.theory._moments import Moments


class HaarLikeMoments(Moments):
    """Second moments of a Haar rotation: E[U_ij U_kl] = [i=k][j=l] / dim."""

    def second_moment(self, w: Tensor, x: Tensor, offset: int | None) -> Tensor:
        """‖w‖² ‖x‖² / dim, for any w and x."""
        return energy(w) * energy(x) / w.shape[-1]

    def overlap(self, basis: Tensor, offset: int | None) -> Tensor:
        """d / dim, for any subspace."""
        return basis.new_tensor(basis.shape[1] / basis.shape[0])


class RotationMoments(HaarLikeMoments):
    """U Haar on O(dim)."""

    def fourth_moment(self, w: Tensor, x: Tensor) -> Tensor:
        """3 ‖w‖⁴ ‖x‖⁴ / (dim (dim + 2)), the moment of a coordinate on the sphere."""
        dim = w.shape[-1]
        return 3 * (energy(w) * energy(x)).square() / (dim * (dim + 2))


class BlockRotationMoments(Moments):
    """U block-diagonal, blocks independent and Haar."""

    def __init__(self, block_size: int) -> None:
        self.size = block_size

    def second_moment(self, w: Tensor, x: Tensor, offset: int | None) -> Tensor:
        """Σ_B ‖w_B‖² ‖x_B‖² / size."""
        return dot(self._energies(w), self._energies(x)) / self.size

    def fourth_moment(self, w: Tensor, x: Tensor) -> Tensor:
        """3 (Σ_B p_B / b)² − 6 Σ_B p_B² / (b² (b + 2)), with p_B = ‖w_B‖² ‖x_B‖²."""
        size, w, x = self.size, self._energies(w), self._energies(x)
        excess = 6 * dot(w.square(), x.square()) / (size**2 * (size + 2))
        return 3 * (dot(w, x) / size).square() - excess

    def overlap(self, basis: Tensor, offset: int | None) -> Tensor:
        """Σ_B h_B² / (size d), with h_B the leverage of a block."""
        return self._sums(energy(basis)).square().sum() / (self.size * basis.shape[1])

    def _energies(self, x: Tensor) -> Tensor:
        return self._sums(power(x))

    def _sums(self, x: Tensor) -> Tensor:
        sums: Tensor = x.unflatten(-1, (-1, self.size)).sum(-1)
        return sums


class KroneckerRotationMoments(HaarLikeMoments):
    """U = D_k (A ⊗ B) D_s, A and B Haar, D diagonal signs.

    The second moment is Haar's: E[(A ⊗ B)_ij (A ⊗ B)_kl] = [i=k][j=l] / (a b), even without the
    signs. The signs matter from the fourth moment on.
    """

    def __init__(self, sizes: tuple[int, int]) -> None:
        self.sizes = sizes

    def fourth_moment(self, w: Tensor, x: Tensor) -> Tensor:
        """Sums over pairings of four rows and of four columns, in A and in B.

        Let X be a signed vector as an a × b matrix. It contracts to ‖x‖⁴ where the pairings in A
        and B agree, and to the average E tr (XXᵀ)² over signs where they differ.
        """
        a, b = (haar_pairings(size).to(w.device) for size in self.sizes)
        # Rows have the same pairing in A and B (3 ways) or different ones; so do columns.
        same = torch.eye(3, dtype=torch.float64, device=w.device)
        rows = [energy(w).square(), self._crossed(w)]
        columns = [energy(x).square(), self._crossed(x)]
        total = torch.zeros_like(dot(w, x))
        for row, rows_alike in zip(rows, (same, 1 - same), strict=True):
            for column, columns_alike in zip(columns, (same, 1 - same), strict=True):
                count = torch.einsum("pq,rs,pr,qs->", a, b, rows_alike, columns_alike)
                total = total + count * row * column
        return total

    def _crossed(self, x: Tensor) -> Tensor:
        """E tr (XXᵀ)² over signs: Σ_i (Σ_j X_ij²)² + Σ_j (Σ_i X_ij²)² − Σ_ij X_ij⁴."""
        square: Tensor = power(x).unflatten(-1, self.sizes)
        by_row, by_column = square.sum(-1), square.sum(-2)
        return energy(by_row) + energy(by_column) - energy(square.flatten(-2))


def haar_pairings(size: int) -> Tensor:
    """Weights g with E[A_ij A_kl A_mn A_op] = Σ_pq g_pq [rows paired by p][columns by q].

    A is Haar on O(size); p and q run over the three ways to pair four indices. g is the
    pseudo-inverse of the Gram matrix of the pairings, size^loops (Collins and Śniady 2006).

    Returns:
        Shape (3, 3), float64.

    Example:
        >>> from analysis.theory._rotation import haar_pairings
        >>> haar_pairings(3).sum()  # E A_11⁴ = 3 / (3 · 5)
        tensor(0.2000, dtype=torch.float64)
    """
    gram = torch.full((3, 3), float(size), dtype=torch.float64)
    gram.fill_diagonal_(float(size**2))
    inverse: Tensor = torch.linalg.pinv(gram)
    return inverse
