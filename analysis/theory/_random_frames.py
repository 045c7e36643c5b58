"""Exact law of a linear layer that fits one task after the other in random frames."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class LinearRetention:
    """Retention of one task while others are learned, in units of its own solution's energy.

    Attributes:
        signal: E⟨w, t⟩ / ‖t‖², the amplitude of the task's own solution t in the weights.
        noise: E‖Pw − signal · t‖² / ‖t‖², the rest of the weights that the task's inputs see.
    """

    signal: float
    noise: float

    @property
    def forgetting(self) -> float:
        """E‖Pw − t‖² / ‖t‖²: the squared error on the task, which was zero when just learned."""
        return (1 - self.signal) ** 2 + self.noise

    @property
    def snr(self) -> float:
        """Power of the signal over that of the noise."""
        return self.signal**2 / self.noise if self.noise else math.inf


def linear_retention(
    further: int, constraints: int, dim: int, *, before: int = 0
) -> LinearRetention:
    """Retention of a linear map trained to the end on tasks with independent Haar contexts.

    Each task has inputs in a subspace of rank d, turned to a random place by its context, and
    training from the weights w ends at the nearest point that fits it: w ← w + P(t − w), with P the
    projector onto the subspace and t the task's own smallest solution. With x = n d/p the large-p
    limit for a task that was learned first is

        forgetting = (1 − e⁻ˣ)(2 − e⁻ˣ),    SNR = e⁻²ˣ / (1 − e⁻ˣ).

    Both depend on n d/p alone. So the number of models that fit is proportional to the width p and
    inversely to the number of constraints d that a task imposes.

    Args:
        further: Tasks learned since, n ≥ 0.
        constraints: Rank of a task's inputs, d, 1 ≤ d ≤ dim.
        dim: Length of the weights, p.
        before: Tasks learned before this one.

    Returns:
        Exact expectations for any n, d and p; tasks have solutions of equal energy.

    Raises:
        ValueError: If `constraints` is not in 1..dim, or a count is negative.

    Source:
        Ours, derived in `analysis.symbolic` from the moments of the sphere.

    Example:
        >>> from analysis.theory import linear_retention
        >>> kept = linear_retention(further=64, constraints=32, dim=2048)
        >>> round(kept.signal, 3), round(kept.forgetting, 3), round(kept.snr, 3)
        (0.365, 1.042, 0.209)
    """
    if not 1 <= constraints <= dim:
        raise ValueError(f"constraints={constraints} must be in 1..dim={dim}.")
    if further < 0 or before < 0:
        raise ValueError(f"further={further} and before={before} must be at least 0.")
    d, p = constraints, dim
    share = d / p
    keeps = 1 - share  # share of the energy that a random projection away leaves
    fourth = share * (d + 2) / (p + 2)  # E (vᵀPv)² of a unit vector v
    spread = (share - fourth) / (p - 1) if p > 1 else 0.0
    decays = 1 - 2 * share + fourth - spread
    gap = (1 - 1 / share) * keeps**before  # energy of the weights below its limit, p/d
    if keeps == decays:
        seen = 1.0
    else:
        seen = 1 + spread * d * gap * (keeps**further - decays**further) / (keeps - decays)
    signal = keeps**further
    return LinearRetention(signal, max(seen - signal**2, 0.0))
