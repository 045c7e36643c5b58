"""The capacity law: how many models fit at a target, and how that grows with dim."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import SupportsFloat, SupportsIndex

import numpy as np
import numpy.typing as npt
from scipy import stats

from analysis._arguments import checked_integers, checked_number, checked_numbers


@dataclass(frozen=True)
class Capacity:
    """The largest number of models that meets a target, as far as the curve shows it.

    Attributes:
        num_models: The largest tested K at which the target holds, and at every smaller tested
            one, too. 0 if it fails at the smallest.
        fails_at: The smallest tested K at which it fails. None if it never does: the capacity
            is then at least `num_models`, and the curve ended too early to say more.
        estimate: Where the curve crosses the target, interpolated in log K between those two;
            `num_models` where there is nothing to interpolate.
    """

    num_models: int
    fails_at: int | None
    estimate: float

    @property
    def at_limit(self) -> bool:
        """Whether the curve ended before the target failed: a lower bound, not a capacity."""
        return self.fails_at is None

    @property
    def censored(self) -> bool:
        """Whether the capacity lies outside the tested range, on either side."""
        return self.at_limit or self.num_models == 0


@dataclass(frozen=True)
class Growth:
    """A power law, capacity − offset ∝ dim^exponent, fitted by least squares in the logarithms.

    Attributes:
        exponent: The slope. None with fewer than two usable dims.
        standard_error: Of the exponent. None with fewer than three points.
        interval: Its confidence interval, by Student's t. None with fewer than three points.
        factor: Capacity − offset at dim 1 by the fitted line. None without an exponent.
        dims_used: Which dims entered.
        dims_excluded: Which did not, since a capacity there is censored or at most the offset.
    """

    exponent: float | None
    standard_error: float | None
    interval: tuple[float, float] | None
    factor: float | None
    dims_used: tuple[int, ...]
    dims_excluded: tuple[int, ...]


Curve = Iterable[SupportsFloat]
"""Numbers, one for each K: a sequence, an array, or a tensor."""


def capacity_at_snr(num_models: Iterable[SupportsIndex], snr: Curve, target: float) -> Capacity:
    """The largest K at which the signal-to-noise ratio is at least `target`.

    Args:
        num_models: The tested K, at least 1, strictly increasing.
        snr: The ratio at each, of powers, positive.
        target: The ratio asked for, positive.

    Returns:
        The capacity, interpolated in log K and log SNR.

    Raises:
        TypeError: If an entry is no number, or a K no integer.
        ValueError: If the lengths differ, K does not increase, or a ratio is NaN or not positive.

    Example:
        >>> from analysis.capacity import capacity_at_snr
        >>> capacity_at_snr([2, 4, 16], [64.0, 16.0, 1.0], target=4.0)
        Capacity(num_models=4, fails_at=16, estimate=8.0)
    """
    ratios, target = checked_numbers("snr", snr), checked_number("target", target, finite=False)
    negative = [ratio for ratio in ratios if ratio <= 0]
    if not 0 < target < math.inf or negative:
        found = f"snr holds {negative[0]:g}" if negative else f"target={target:g}"
        raise ValueError(
            f"capacity_at_snr needs positive ratios of powers, but {found}; pass ratios, not "
            "decibels."
        )
    margin = [math.log(ratio) - math.log(target) for ratio in ratios]
    return _first_failure(num_models, "snr", margin)


def capacity_at_tolerance(
    num_models: Iterable[SupportsIndex],
    accuracy: Curve,
    when_learned: npt.ArrayLike,
    tolerance: float,
) -> Capacity:
    """The largest K at which mean accuracy stays within a tolerance of that when just learned.

    Args:
        num_models: The tested K, at least 1, strictly increasing.
        accuracy: Mean accuracy over the models stored, at each K.
        when_learned: The same models' mean accuracy when each was just learned: one number, or
            one per K.
        tolerance: The drop allowed, in the unit of `accuracy`, at least 0.

    Returns:
        The capacity, interpolated in log K and accuracy.

    Raises:
        TypeError: If an entry is no number, or a K no integer.
        ValueError: If the lengths differ, K does not increase, an accuracy is not finite, or the
            tolerance is negative.

    Example:
        >>> from analysis.capacity import capacity_at_tolerance
        >>> capacity_at_tolerance([1, 2, 4], [0.9, 0.9, 0.8], 0.9, tolerance=0.05)
        Capacity(num_models=2, fails_at=4, estimate=2.828...)
    """
    if not (tolerance := checked_number("tolerance", tolerance)) >= 0:
        raise ValueError(
            f"tolerance={tolerance:g} must be at least 0; pass the drop allowed, 0.01 for a point."
        )
    now = checked_numbers("accuracy", accuracy)
    if getattr(when_learned, "shape", None) == () or not isinstance(when_learned, Iterable):
        fresh = [checked_number("when_learned", when_learned)] * len(now)
    else:
        fresh = checked_numbers("when_learned", when_learned)
    if len(fresh) != len(now):
        raise ValueError(
            f"when_learned has {len(fresh)} entries for {len(now)} accuracies; pass one "
            "number, or one for each."
        )
    # Accuracies are sums of hundreds of fractions: a drop equal to the tolerance is within it.
    slack = tolerance + 1e-9
    if not all(map(math.isfinite, fresh)):
        raise ValueError("when_learned has a value that is not finite; leave that K out.")
    if any(map(math.isinf, now)):
        raise ValueError("accuracy has a value that is infinite; leave that K out.")
    margin = [after - then + slack for after, then in zip(now, fresh, strict=True)]
    return _first_failure(num_models, "accuracy", margin)


def fit_growth(
    dims: Iterable[SupportsIndex],
    capacities: Sequence[Capacity],
    confidence: float = 0.95,
    *,
    offset: float = 0.0,
) -> Growth:
    """The exponent with which capacity grows with dim, by log-log least squares.

    The points are the interpolated estimates. A dim at which any capacity is censored is left out
    as a whole, and named in the result: the limit that was reached is no capacity, and the other
    seeds at that dim, which stayed below it, would be a biased choice.

    Args:
        dims: One per capacity; a dim may occur several times, for example once per seed.
        capacities: What was found there.
        confidence: Of the interval, in (0, 1). It assumes independent errors of one size about a
            straight line, and says nothing about a curve that bends.
        offset: What to take off every capacity before the fit. 1 for the law of retrieval, in
            which K − 1 is proportional to dim: without it the exponent of small capacities comes
            out too small. A capacity of no more than the offset is left out like a censored one.

    Returns:
        The fit; what cannot be said from the points that are left is None.

    Raises:
        TypeError: If a dim is no integer, `capacities` holds anything else, or a number is none.
        ValueError: If the lengths differ, a dim is less than 1, `confidence` is not in (0, 1), or
            the offset is not finite.

    Example:
        >>> from analysis.capacity import Capacity, fit_growth
        >>> limit = Capacity(512, None, 512.0)
        >>> found = [Capacity(k, k + 1, float(k)) for k in (16, 33, 64)]
        >>> growth = fit_growth([64, 128, 256, 1024], [*found, limit])
        >>> round(growth.exponent, 3), round(growth.standard_error, 3), growth.dims_excluded
        (1.0, 0.026, (1024,))
        >>> law = [Capacity(k, k + 1, float(k)) for k in (9, 17, 33)]  # K − 1 = dim / 4
        >>> round(fit_growth([32, 64, 128], law, offset=1).exponent, 3)
        1.0
    """
    sizes = checked_integers("dims", dims)
    confidence = checked_number("confidence", confidence, finite=False)
    offset = checked_number("offset", offset)
    if not (
        isinstance(capacities, Sequence) and all(isinstance(each, Capacity) for each in capacities)
    ):
        raise TypeError(
            "capacities must be a sequence of Capacity, as capacity_at_snr gives them, but "
            f"is {str(capacities)[:60]}."
        )
    if len(sizes) != len(capacities):
        raise ValueError(
            f"{len(sizes)} dims for {len(capacities)} capacities; pass one dim for each."
        )
    if not all(dim >= 1 for dim in sizes):
        raise ValueError(f"dims must be at least 1, but the smallest is {min(sizes)}.")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence:g} must lie in (0, 1); pass 0.95 for 95 %.")
    excluded = {
        dim
        for dim, found in zip(sizes, capacities, strict=True)
        if found.censored or found.estimate <= offset
    }
    points = [
        (math.log(dim), math.log(found.estimate - offset))
        for dim, found in zip(sizes, capacities, strict=True)
        if dim not in excluded
    ]
    used = tuple(sorted(set(sizes) - excluded))
    if len(used) < 2:
        return Growth(None, None, None, None, used, tuple(sorted(excluded)))
    log_dim, log_capacity = np.array(points).T
    centred = log_dim - log_dim.mean()
    spread = float(centred @ centred)
    slope = float(centred @ log_capacity) / spread
    factor = math.exp(log_capacity.mean() - slope * log_dim.mean())
    error = interval = None
    if (freedom := len(points) - 2) > 0:
        residual = log_capacity - log_capacity.mean() - slope * centred
        error = math.sqrt(float(residual @ residual) / freedom / spread)
        reach = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
        interval = (slope - reach, slope + reach)
    return Growth(slope, error, interval, factor, used, tuple(sorted(excluded)))


def _first_failure(
    num_models: Iterable[SupportsIndex], curve: str, margin: Sequence[float]
) -> Capacity:
    """The capacity from margins over the target, which holds where they are at least 0."""
    counts = checked_integers("num_models", num_models)
    if not len(counts) == len(margin) > 0:
        raise ValueError(
            f"num_models has {len(counts)} entries and {curve} {len(margin)}; pass as many of "
            "either, at least one."
        )
    if counts[0] < 1 or any(after <= before for before, after in itertools.pairwise(counts)):
        raise ValueError(
            f"num_models must be at least 1 and increase strictly, but is {counts}; sort "
            "the curve by K."
        )
    if any(math.isnan(value) for value in margin):
        raise ValueError(f"{curve} has a value that is NaN; leave that K out.")
    failed = next((at for at, value in enumerate(margin) if value < 0), None)
    if failed is None:
        return Capacity(counts[-1], None, float(counts[-1]))
    if failed == 0:
        return Capacity(0, counts[0], 0.0)
    low, high = counts[failed - 1], counts[failed]
    above, below = margin[failed - 1], margin[failed]
    # From an infinite margin, one model without noise, there is no line to follow.
    share = 0.0 if math.isinf(above) else above / (above - below)
    return Capacity(low, high, low * (high / low) ** share)
