"""What a family's law of interference says, and how independent models add up."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Moments(ABC):
    """Moments of z = wᵀUx, U = C_k⁻¹ C_s for two contexts of one family, at offset k − s.

    All tensors are float64 or complex128, the same in one call. Vectors w (…, dim) and x (…, dim)
    broadcast; results have the broadcast shape (…). An offset of None means any other context, or,
    where the distance matters, one far away.
    """

    is_complex = False
    name = ""
    """The family whose law it is, for messages."""

    @abstractmethod
    def second_moment(self, w: Tensor, x: Tensor, offset: int | None) -> Tensor:
        """E|z|²."""

    @abstractmethod
    def overlap(self, basis: Tensor, offset: int | None) -> Tensor:
        """E‖Qᴴ U Q‖_F² / d for an orthonormal basis Q, shape (dim, d)."""

    def mean(self, w: Tensor, x: Tensor, offset: int | None) -> Tensor:
        """E z: zero unless the family is biased."""
        return torch.zeros_like(dot(w, x))

    def pseudo_moment(self, w: Tensor, x: Tensor, offset: int | None) -> Tensor:
        """E z²: for real families the second moment."""
        return self.second_moment(w, x, offset)

    def fourth_moment(self, w: Tensor, x: Tensor) -> Tensor:
        """E|z|⁴, for contexts at any offset."""
        raise NotImplementedError(
            f"no closed form is known for the fourth moment of family {self.name}; estimate it "
            "from samples of analysis.retrieval.interference."
        )

    def covariance(
        self, w: Tensor, x: Tensor, offset: int, other: Tensor, other_offset: int
    ) -> tuple[Tensor, Tensor]:
        """Cov(z, z′*) and Cov(z, z′) of two stored models, offsets unequal, when one is read.

        Zero for groups, where U and U′ are independent, and wherever the signs of a context are.
        """
        nothing = torch.zeros_like(dot(w, x) + dot(other, x))
        return nothing, nothing

    def noise_power(self, weights: Tensor, x: Tensor, read: int, real_part: bool) -> Tensor:
        """E‖Σ_{k≠s} W_k U_k x‖², shape (n,), from weights (K, out, dim) and x (n, dim).

        Here for models whose interferences are uncorrelated: their means add up as amplitudes,
        their variances as powers.
        """
        others = without(weights, read).unsqueeze(1)  # (K−1, 1, out, dim)
        inputs = x.unsqueeze(1)  # (n, 1, dim)
        mean = self.mean(others, inputs, None)  # (K−1, n, out)
        variance = self.second_moment(others, inputs, None) - mean.square()
        return (mean.sum(0).square() + variance.sum(0)).sum(-1)


class IdentityMoments(Moments):
    """U = I."""

    def mean(self, w: Tensor, x: Tensor, offset: int | None) -> Tensor:
        """All of it."""
        return dot(w, x)

    def second_moment(self, w: Tensor, x: Tensor, offset: int | None) -> Tensor:
        """No variance."""
        return dot(w, x).square()

    def fourth_moment(self, w: Tensor, x: Tensor) -> Tensor:
        """No variance."""
        return dot(w, x) ** 4

    def overlap(self, basis: Tensor, offset: int | None) -> Tensor:
        """All of it."""
        return basis.new_ones(())


def dot(w: Tensor, x: Tensor) -> Tensor:
    """Σ_j w_j x_j, without making the products where the leading dimensions only broadcast."""
    return torch.einsum("...j,...j->...", w, x)


def power(x: Tensor) -> Tensor:
    """|x|², entry by entry, real."""
    return x.abs().square()


def energy(x: Tensor) -> Tensor:
    """‖x‖² over the last dimension."""
    return power(x).sum(-1)


def leverage(basis: Tensor) -> Tensor:
    """The leverage scores of orthonormal columns, shape (dim,); see `leverage_scores`."""
    return energy(basis)


def without(weights: Tensor, index: int) -> Tensor:
    """All but one entry of the first dimension."""
    return torch.cat((weights[:index], weights[index + 1 :]))
