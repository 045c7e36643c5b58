"""Accuracy that models keep while others are learned, as simulated from the first few."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

NORMAL_95 = 1.96
"""Half width of a 95 % interval, in standard errors."""

Curve = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PredictedCapacity:
    """Largest number of models that stay within a tolerance.

    Attributes:
        num_models: The prediction.
        interval: 95 % interval from the spread between the simulated curves, inclusive.
        at_limit: True if the tolerance holds for all models that were simulated.
        observed: True if it fails among the models that were trained, so that nothing had to be
            predicted.
    """

    num_models: int
    interval: tuple[int, int]
    at_limit: bool
    observed: bool


@dataclass(frozen=True)
class Retention:
    """Prediction of `predict_retention`.

    Attributes:
        further: Numbers of further updates, all of the size of the first of them, after which the
            simulation was tested, from 0 up; `num_models - 1` is one of them.
        curves: Simulated accuracies, fractions, shape (curves, len(further)): one curve for each
            trained model and draw.
        matrix: Measured accuracies R[t, k] of model k after t + 1 models, shape (T, T); NaN for
            k > t.
        sizes: Energies of the updates after model 0, 1, … in proportion, shape (num_models,): as
            ‖W‖^2p, where ‖W‖² grows with every update.
        growth: Factors by which each layer's weights have been multiplied when model 0, 1, … was
            learned, shape (num_models, layers); each model is amplified by those after it. Layers
            without updates are left out; the others count alike, as they are found to do.
    """

    further: tuple[int, ...]
    curves: Curve
    matrix: Curve
    sizes: Curve
    growth: Curve

    def accuracy(self) -> Curve:
        """Return the accuracy of model 0 after n further models, n = 0 … num_models − 1."""
        met = (self.sizes[:-1, None] / self.growth[1:] ** 2).cumsum(0).mean(1) / self.sizes[0]
        mean: Curve = self._after(np.append(0.0, met)).mean(0)
        return mean

    def mean_accuracy(self) -> tuple[Curve, Curve]:
        """Return the mean accuracy of K models, K = 1 … num_models, and its spread.

        Returns:
            Mean and standard deviation between the curves, fractions, shape (num_models,) each.
        """
        means = self._mean_of_models()
        return means.mean(0), means.std(0, ddof=1)

    def lost(self) -> Curve:
        """Return the mean accuracy that K models have lost since each was learned, K = 1, 2, ….

        It is measured up to the number of models that were trained, and simulated beyond.

        Returns:
            Fractions, shape (num_models,).
        """
        lost: Curve = self._lost().mean(0)
        trained = min(len(self.matrix), len(lost))
        fresh = np.diag(self.matrix)
        for count in range(1, trained + 1):
            lost[count - 1] = (fresh[:count] - self.matrix[count - 1, :count]).mean()
        return lost

    def capacity(self, tolerance: float) -> PredictedCapacity:
        """Return the largest K whose models have lost at most `tolerance` on average.

        Args:
            tolerance: Accuracy that may be lost, a fraction; 0.01 for one point.

        Raises:
            ValueError: If the tolerance is negative.
        """
        if tolerance < 0:
            raise ValueError(f"tolerance={tolerance:g} must be at least 0; pass 0.01 for a point.")
        curves = self._lost()
        error = NORMAL_95 * curves.std(0, ddof=1) / math.sqrt(len(curves))
        middle = _last_within(self.lost(), tolerance)
        if middle < len(self.matrix):
            return PredictedCapacity(middle, (middle, middle), at_limit=False, observed=True)
        mean = curves.mean(0)
        low = max(_last_within(mean + error, tolerance), len(self.matrix))
        high = max(_last_within(mean - error, tolerance), middle)
        return PredictedCapacity(
            middle, (min(low, middle), high), at_limit=middle == len(mean), observed=False
        )

    def _after(self, updates: Curve) -> Curve:
        """Return the curves after numbers of equal updates, shape (curves, len(updates))."""
        return np.stack([np.interp(updates, self.further, curve) for curve in self.curves])

    def _mean_of_models(self) -> Curve:
        """Return the mean accuracy of K models, shape (curves, num_models).

        It is interpolated between the numbers at which the simulation was tested.
        """
        tested = [count for count in self.further if count < len(self.sizes)]
        means = [self._after(loads(self.sizes, self.growth, last)).mean(1) for last in tested]
        counts = np.arange(len(self.sizes))
        return np.stack([np.interp(counts, tested, curve) for curve in np.stack(means, 1)])

    def _lost(self) -> Curve:
        """Return what K models have lost on average, shape (curves, num_models)."""
        lost: Curve = self.curves[:, :1] - self._mean_of_models()
        return lost


def loads(sizes: Curve, growth: Curve, last: int) -> Curve:
    """Return the energy of the updates that models 0 … last have met when `last` is learned.

    In units of a model's next update, and relative to the model, which was amplified, too.

    Args:
        sizes: See `Retention`.
        growth: See `Retention`.
        last: The last model.

    Returns:
        Shape (last + 1,).
    """
    factors = growth[: last + 1] ** 2
    met = (sizes[:last, None] / factors[1:])[::-1].cumsum(0)[::-1] * factors[:-1]
    return np.append(met.mean(1) / sizes[:last], 0.0)


def _last_within(lost: Curve, tolerance: float) -> int:
    exceeds = lost > tolerance + 1e-9  # accuracies are sums of hundreds of fractions
    return int(exceeds.argmax()) if exceeds.any() else len(lost)
