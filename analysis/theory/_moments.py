"""Moments of the interference in one family, and the sum over independent models."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from analysis.theory._algebra import dot, without


class Moments(ABC):
    """Moments of z = wᵀUx, U = C_k⁻¹ C_s for two contexts of one family, at offset k − s.

    All tensors are float64 or complex128, of one dtype per call. Vectors w (…, dim) and x (…, dim)
    broadcast; results have the broadcast shape (…). An offset of None means two contexts that are
    far apart, for the families where the distance matters.
    """

    is_complex = False
    name = ""
    """Name of the family, for messages."""

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
        """E z²: the second moment for real families."""
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
        """Cov(z, z′*) and Cov(z, z′) of two stored models at unequal offsets, when one is read.

        Zero for groups, where U and U′ are independent, and for contexts with random signs.
        """
        zero = torch.zeros_like(dot(w, x) + dot(other, x))
        return zero, zero

    def noise_power(self, weights: Tensor, x: Tensor, read: int, real_part: bool) -> Tensor:
        """E‖Σ_{k≠s} W_k U_k x‖², shape (n,), from weights (K, out, dim) and x (n, dim).

        The default holds where the interferences of two models are uncorrelated: their means add
        up as amplitudes, their variances as powers.
        """
        others = without(weights, read).unsqueeze(1)  # (K−1, 1, out, dim)
        inputs = x.unsqueeze(1)  # (n, 1, dim)
        mean = self.mean(others, inputs, None)  # (K−1, n, out)
        variance = self.second_moment(others, inputs, None) - mean.square()
        return (mean.sum(0).square() + variance.sum(0)).sum(-1)


class IdentityMoments(Moments):
    """U = I."""

    def mean(self, w: Tensor, x: Tensor, offset: int | None) -> Tensor:
        """wᵀx: no protection."""
        return dot(w, x)

    def second_moment(self, w: Tensor, x: Tensor, offset: int | None) -> Tensor:
        """(wᵀx)²: no variance."""
        return dot(w, x).square()

    def fourth_moment(self, w: Tensor, x: Tensor) -> Tensor:
        """(wᵀx)⁴: no variance."""
        return dot(w, x) ** 4

    def overlap(self, basis: Tensor, offset: int | None) -> Tensor:
        """1: the subspaces coincide."""
        return basis.new_ones(())
