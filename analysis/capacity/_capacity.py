"""The capacity law: the number of models that fit at a target, and its growth with dim."""

import itertools
import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import SupportsFloat, SupportsIndex

import numpy as np
import numpy.typing as npt
from scipy import stats


@dataclass(frozen=True)
class Capacity:
    """The largest number of models that meets a target, within the tested range.

    Attributes:
        num_models: The largest tested K such that the target holds at it and at every smaller
            tested K. 0 if the target fails at the smallest.
        fails_at: The smallest tested K at which the target fails. None if it never fails: the
            capacity is then at least `num_models`, and the curve ended too early to say more.
        estimate: The K at which the curve crosses the target, interpolated in log K between
            `num_models` and `fails_at`; `num_models` where interpolation is impossible.
    """

    num_models: int
    fails_at: int | None
    estimate: float

    @property
    def at_limit(self) -> bool:
        """True if the curve ended before the target failed: a lower bound, not a capacity."""
        return self.fails_at is None

    @property
    def censored(self) -> bool:
        """True if the capacity lies outside the tested range, on either side."""
        return self.at_limit or self.num_models == 0


@dataclass(frozen=True)
class Growth:
    """A power law, capacity − offset ∝ dim^exponent, fitted by least squares in the logarithms.

    Attributes:
        exponent: The slope. None with fewer than two usable dims.
        standard_error: Standard error of the exponent. None with fewer than three points.
        interval: Confidence interval of the exponent, by Student's t. None with fewer than three
            points.
        factor: Capacity − offset at dim 1 by the fitted line. None without an exponent.
        dims_used: Dims in the fit.
        dims_excluded: Dims with a capacity that is censored, or at most the offset.
    """

    exponent: float | None
    standard_error: float | None
    interval: tuple[float, float] | None
    factor: float | None
    dims_used: tuple[int, ...]
    dims_excluded: tuple[int, ...]


Curve = Iterable[SupportsFloat]
"""One value for each K: a sequence, an array, or a tensor."""


def capacity_at_snr(num_models: Iterable[SupportsIndex], snr: Curve, target: float) -> Capacity:
    """Return the largest K at which the signal-to-noise ratio is at least `target`.

    Args:
        num_models: The tested K, at least 1, strictly increasing.
        snr: The ratio of powers at each K, positive.
        target: The required ratio, positive.

    Returns:
        The capacity, interpolated in log K and log SNR.

    Raises:
        ValueError: If the lengths differ, K does not increase, or a ratio is NaN or not positive.

    Example:
        >>> from analysis.capacity import capacity_at_snr
        >>> capacity_at_snr([2, 4, 16], [64.0, 16.0, 1.0], target=4.0)
        Capacity(num_models=4, fails_at=16, estimate=8.0)
    """
    ratios = [float(ratio) for ratio in snr]
    if min([target, *ratios]) <= 0:
        raise ValueError(f"snr and target={target:g} must be ratios above 0, not decibels.")
    margin = [math.log(ratio) - math.log(target) for ratio in ratios]
    return _first_failure(num_models, "snr", margin)


def capacity_at_tolerance(
    num_models: Iterable[SupportsIndex],
    accuracy: Curve,
    when_learned: npt.ArrayLike,
    tolerance: float,
) -> Capacity:
    """Return the largest K at which accuracy stays within a tolerance of that when just learned.

    Args:
        num_models: The tested K, at least 1, strictly increasing.
        accuracy: Mean accuracy over the models stored, at each K.
        when_learned: Mean accuracy of the same models when each was just learned: one value, or
            one per K.
        tolerance: Largest drop, in the unit of `accuracy`, at least 0.

    Returns:
        The capacity, interpolated in log K and accuracy.

    Raises:
        ValueError: If the lengths differ, K does not increase, an accuracy is not finite, or the
            tolerance is negative.

    Example:
        >>> from analysis.capacity import capacity_at_tolerance
        >>> capacity_at_tolerance([1, 2, 4], [0.9, 0.9, 0.8], 0.9, tolerance=0.05)
        Capacity(num_models=2, fails_at=4, estimate=2.828...)
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance={tolerance:g} must be at least 0; pass 0.01 for a point.")
    now = [float(value) for value in accuracy]
    fresh = np.broadcast_to(np.asarray(when_learned, dtype=float), len(now)).tolist()
    if not np.isfinite([*now, *fresh]).all():
        raise ValueError("accuracy or when_learned has a value that is not finite; omit that K.")
    # Accuracies are sums of hundreds of fractions: a drop equal to the tolerance is within it.
    slack = tolerance + 1e-9
    margin = [after - before + slack for after, before in zip(now, fresh, strict=True)]
    return _first_failure(num_models, "accuracy", margin)


def fit_growth(
    dims: Iterable[SupportsIndex],
    capacities: Sequence[Capacity],
    confidence: float = 0.95,
    *,
    offset: float = 0.0,
) -> Growth:
    """Fit the exponent with which capacity grows with dim, by log-log least squares.

    The points are the interpolated estimates. A dim is excluded as a whole if any capacity at it
    is censored: a limit is no capacity, and the other seeds at that dim, which stayed below the
    limit, would be a biased selection.

    Args:
        dims: One per capacity; a dim may occur several times, for example once per seed.
        capacities: The capacities at those dims.
        confidence: Confidence level of the interval, in (0, 1). It assumes independent errors of
            equal size about a straight line, and does not cover a curve that bends.
        offset: Subtracted from every capacity before the fit. Pass 1 for retrieval, where K − 1 is
            proportional to dim: otherwise small capacities bias the exponent downwards. Dims with
            a capacity of at most the offset are excluded like censored ones.

    Returns:
        The fit; values that the points cannot determine are None.

    Raises:
        ValueError: If the lengths differ, a dim is not positive, `confidence` is not in (0, 1), or
            the offset is not finite.

    Example:
        >>> from analysis.capacity import Capacity, fit_growth
        >>> limit = Capacity(512, None, 512.0)
        >>> capacities = [Capacity(k, k + 1, float(k)) for k in (16, 33, 64)]
        >>> growth = fit_growth([64, 128, 256, 1024], [*capacities, limit])
        >>> round(growth.exponent, 3), round(growth.standard_error, 3), growth.dims_excluded
        (1.0, 0.026, (1024,))
        >>> shifted = [Capacity(k, k + 1, float(k)) for k in (9, 17, 33)]  # K − 1 = dim / 4
        >>> round(fit_growth([32, 64, 128], shifted, offset=1).exponent, 3)
        1.0
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence:g} must lie in (0, 1); pass 0.95 for 95 %.")
    if not math.isfinite(offset):
        raise ValueError(f"offset={offset:g} must be finite.")
    sizes = [operator.index(dim) for dim in dims]
    points = list(zip(sizes, capacities, strict=True))
    excluded = {dim for dim, capacity in points if capacity.censored or capacity.estimate <= offset}
    logarithms = [
        (math.log(dim), math.log(capacity.estimate - offset))
        for dim, capacity in points
        if dim not in excluded
    ]
    used = tuple(sorted(set(sizes) - excluded))
    if len(used) < 2:
        return Growth(None, None, None, None, used, tuple(sorted(excluded)))
    log_dim, log_capacity = np.array(logarithms).T
    centred = log_dim - log_dim.mean()
    spread = float(centred @ centred)
    slope = float(centred @ log_capacity) / spread
    factor = math.exp(log_capacity.mean() - slope * log_dim.mean())
    error = interval = None
    if (freedom := len(logarithms) - 2) > 0:
        residual = log_capacity - log_capacity.mean() - slope * centred
        error = math.sqrt(float(residual @ residual) / freedom / spread)
        reach = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
        interval = (slope - reach, slope + reach)
    return Growth(slope, error, interval, factor, used, tuple(sorted(excluded)))


def _first_failure(
    num_models: Iterable[SupportsIndex], curve: str, margin: Sequence[float]
) -> Capacity:
    """Return the capacity from margins over the target, which holds at margins of at least 0."""
    counts = [operator.index(count) for count in num_models]
    increasing = all(before < after for before, after in itertools.pairwise([0, *counts]))
    if not (increasing and len(counts) == len(margin) > 0):
        raise ValueError(
            f"num_models={counts} must increase from 1 or more, with {len(margin)} K as in {curve}."
        )
    if any(math.isnan(value) for value in margin):
        raise ValueError(f"{curve} or its target is NaN at some K; omit that K.")
    failure = next((at for at, value in enumerate(margin) if value < 0), None)
    if failure is None:
        return Capacity(counts[-1], None, float(counts[-1]))
    if failure == 0:
        return Capacity(0, counts[0], 0.0)
    low, high = counts[failure - 1], counts[failure]
    above, below = margin[failure - 1], margin[failure]
    # An infinite margin, one model without noise, cannot be interpolated.
    share = 0.0 if math.isinf(above) else above / (above - below)
    return Capacity(low, high, low * (high / low) ** share)
