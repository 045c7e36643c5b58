"""Moments of the permutations, plain and signed."""

from torch import Tensor

from analysis.theory._algebra import energy
from analysis.theory._moments import Moments
from analysis.theory._rotation import HaarLikeMoments


class PermutationMoments(Moments):
    """U a uniform permutation matrix: biased, since it preserves the mean of a vector."""

    def mean(self, w: Tensor, x: Tensor, offset: int | None) -> Tensor:
        """(Σ w)(Σ x) / dim."""
        return w.sum(-1) * x.sum(-1) / w.shape[-1]

    def second_moment(self, w: Tensor, x: Tensor, offset: int | None) -> Tensor:
        """mean² + Σ(w − w̄)² Σ(x − x̄)² / (dim − 1)."""
        spread = energy(_centred(w)) * energy(_centred(x)) / max(w.shape[-1] - 1, 1)
        return self.mean(w, x, offset).square() + spread

    def overlap(self, basis: Tensor, offset: int | None) -> Tensor:
        """(s² / dim² + (d − s / dim)² / (dim − 1)) / d, with s = ‖Qᵀ1‖²."""
        dim, rank = basis.shape
        biased = energy(basis.sum(0)) / dim
        return (biased.square() + (rank - biased).square() / max(dim - 1, 1)) / rank


class SignedPermutationMoments(HaarLikeMoments):
    """U = diag(±1) P: E[U_ij U_kl] = [i=k][j=l] / dim, by the signs and by P."""

    def fourth_moment(self, w: Tensor, x: Tensor) -> Tensor:
        """3 E(Σ w_i² x_{p(i)}²)² − 2 E Σ w_i⁴ x_{p(i)}⁴, over permutations p."""
        squares = PermutationMoments().second_moment(w.square(), x.square(), None)
        return 3 * squares - 2 * energy(w.square()) * energy(x.square()) / w.shape[-1]


def _centred(x: Tensor) -> Tensor:
    return x - x.mean(-1, keepdim=True)
