"""Moments of the diagonal families: U = diag(u), with independent entries."""

from abc import abstractmethod

import torch
from torch import Tensor

from analysis.theory._algebra import dot, energy, power, without
from analysis.theory._moments import Moments


class DiagonalMoments(Moments):
    """Moments that follow from three averages over one unit, on the unit circle.

    Let u_k be the entry of C_k⁻¹ C_s at some unit. The averages are μ_k = E u_k, and for two
    stored models E[u_k u_l*] and E[u_k u_l]. All are real, since phases are symmetric.
    """

    @abstractmethod
    def averages(self, offsets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """μ (K,), E[u_k u_l*] and E[u_k u_l], both (K, K), of offsets k − s, shape (K,)."""

    def mean(self, w: Tensor, x: Tensor, offset: int | None) -> Tensor:
        """μ Σ a, where a_j = w_j x_j."""
        return self._pair(offset)[0] * dot(w, x)

    def second_moment(self, w: Tensor, x: Tensor, offset: int | None) -> Tensor:
        """μ² |Σ a|² + (1 − μ²) Σ |a|²."""
        mu, _ = self._pair(offset)
        return mu**2 * power(dot(w, x)) + (1 - mu**2) * dot(power(w), power(x))

    def pseudo_moment(self, w: Tensor, x: Tensor, offset: int | None) -> Tensor:
        """μ² (Σ a)² + (E u² − μ²) Σ a²."""
        mu, squared = self._pair(offset)
        return mu**2 * dot(w, x).square() + (squared - mu**2) * dot(w.square(), x.square())

    def covariance(
        self, w: Tensor, x: Tensor, offset: int, other: Tensor, other_offset: int
    ) -> tuple[Tensor, Tensor]:
        """(E[u u′*] − μ μ′) Σ a a′* and (E[u u′] − μ μ′) Σ a a′."""
        mu, hermitian, pseudo = self.averages(torch.tensor([offset, other_offset]))
        product = mu[0] * mu[1]
        return (
            (hermitian[0, 1] - product) * dot(w * other.conj(), power(x).to(w.dtype)),
            (pseudo[0, 1] - product) * dot(w * other, x.square()),
        )

    def overlap(self, basis: Tensor, offset: int | None) -> Tensor:
        """μ² + (1 − μ²) Σ h² / d, with the leverage scores h."""
        mu, _ = self._pair(offset)
        return mu**2 + (1 - mu**2) * power(energy(basis)).sum() / basis.shape[1]

    def noise_power(self, weights: Tensor, x: Tensor, read: int, real_part: bool) -> Tensor:
        """|Σ_k μ_k a_k|² + Σ_kl cov_kl a_k a_l, with the covariances between stored models."""
        others = without(weights, read)
        offsets = torch.arange(len(weights), device=weights.device) - read
        mu, hermitian, pseudo = self.averages(offsets[offsets != 0])
        amplitude = torch.einsum("k,koj,nj->no", mu.to(x.dtype), others, x)
        diffuse = quadratic(hermitian - mu.outer(mu), others, others.conj()).real
        modulus = power(amplitude).sum(-1) + power(x) @ diffuse
        if not (real_part and self.is_complex):
            return modulus
        coherent = quadratic(pseudo - mu.outer(mu), others, others)
        square = amplitude.square().sum(-1) + x.square() @ coherent
        return (modulus + square.real) / 2

    def _pair(self, offset: int | None) -> tuple[float, float]:
        """μ and E u² for a pair of contexts."""
        far = 2**31  # beyond every window of neighbours
        mu, _, pseudo = self.averages(torch.tensor([far if offset is None else offset]))
        return float(mu), float(pseudo)


class BinaryMoments(DiagonalMoments):
    """u = ±1, fair."""

    def averages(self, offsets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Averages of entries that are independent between models."""
        mu, same = _independent(offsets)
        return mu, same, same

    def fourth_moment(self, w: Tensor, x: Tensor) -> Tensor:
        """3 (Σ a²)² − 2 Σ a⁴."""
        return 3 * dot(w.square(), x.square()).square() - 2 * dot(w**4, x**4)


class ComplexMoments(DiagonalMoments):
    """u uniform on the circle."""

    is_complex = True

    def averages(self, offsets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Averages of entries that are independent between models."""
        mu, same = _independent(offsets)
        return mu, same, torch.zeros_like(same)

    def fourth_moment(self, w: Tensor, x: Tensor) -> Tensor:
        """2 (Σ |a|²)² − Σ |a|⁴."""
        return 2 * dot(power(w), power(x)).square() - dot(power(w).square(), power(x).square())


class OnePowerMoments(ComplexMoments):
    """u_k = e^{−iφ(k−s)}: models at opposite offsets meet with conjugate phases."""

    def averages(self, offsets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The averages of Complex, except E[u_k u_l] = 1 at opposite offsets."""
        mu, hermitian, _ = super().averages(offsets)
        return mu, hermitian, (offsets[:, None] == -offsets).double()


class LocalMixMoments(DiagonalMoments):
    """u_k = e^{i(θ_s−θ_k)}, θ the mean of a window of independent phases.

    A phase that enters with coefficient c contributes E e^{icφ} = sin(πc) / (πc) = sinc(c).
    """

    is_complex = True

    def __init__(self, neighbours: int) -> None:
        self.window = 2 * neighbours + 1

    def averages(self, offsets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Products of sincs over the phases that two or three windows do not share."""
        size = self.window
        coefficients = torch.tensor([1.0, 2.0], dtype=torch.float64, device=offsets.device) / size
        # sinc of a whole coefficient is zero; torch.sinc leaves a rounding error.
        once, twice = torch.where(coefficients == coefficients.round(), 0.0, coefficients.sinc())
        k, other = offsets[:, None], offsets[None, :]
        mu = once ** (2 * offsets.abs().clamp(max=size))
        hermitian = once ** (2 * (k - other).abs().clamp(max=size))
        span = torch.maximum(torch.maximum(k, other), torch.zeros_like(k))
        span = span - torch.minimum(torch.minimum(k, other), torch.zeros_like(k))
        by_all = (size - span).clamp(min=0)
        by_read_and_k = self._shared(k) - by_all
        by_read_and_other = self._shared(other) - by_all
        by_stored = self._shared(k - other) - by_all
        # Phases that enter e^{i(2θ_s − θ_k − θ_l)} with coefficients ±2/size and ±1/size:
        by_read_alone = size - by_read_and_k - by_read_and_other - by_all
        twos = by_read_alone + by_stored
        ones = 2 * (size - by_stored - by_all)
        return mu, hermitian, twice**twos * once**ones

    def _shared(self, offset: Tensor) -> Tensor:
        """Number of phases that two windows share."""
        return (self.window - offset.abs()).clamp(min=0)


def _independent(offsets: Tensor) -> tuple[Tensor, Tensor]:
    same = torch.eye(len(offsets), dtype=torch.float64, device=offsets.device)
    return torch.zeros_like(same[0]), same


def quadratic(form: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Σ_o Σ_kl form_kl left_koj right_loj for every unit j, shape (dim,).

    Most entries of the form are equal. Their part is a product of sums over models; the
    remaining entries are multiplied as a sparse matrix.

    Args:
        form: Shape (K, K), real.
        left: Shape (K, out, dim).
        right: Shape (K, out, dim).
    """
    common = form.median()
    total = common * (left.sum(0) * right.sum(0)).sum(0)
    special = (form - common).to(left.dtype).to_sparse()
    partner = (special @ right.flatten(1)).view_as(right)
    return total + (left * partner).sum((0, 1))
