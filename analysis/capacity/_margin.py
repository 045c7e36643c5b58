"""Accuracy of a classifier whose outputs are Gaussian about one margin."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq, least_squares
from scipy.special import ndtr

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(96)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_LARGEST_MARGIN = 12.0


def accuracy_at_margin(margin: npt.ArrayLike, num_classes: int) -> npt.NDArray[np.float64]:
    """Return the probability that the right one of C Gaussian outputs is the largest.

    P_C(d) = ∫ φ(z − d) Φ(z)^(C−1) dz for outputs of unit variance, the right one with mean d and
    the others with mean 0. Noise of power s on outputs of margin d₀ leaves d = d₀ / √(1 + s).

    Args:
        margin: d, any shape.
        num_classes: C, at least 2.

    Returns:
        Fractions, in the shape of `margin`.

    Raises:
        ValueError: If `num_classes` is less than 2.

    Example:
        >>> from analysis.capacity import accuracy_at_margin
        >>> accuracy_at_margin([0.0, 2.0, 4.0], num_classes=10).round(3).tolist()
        [0.1, 0.674, 0.983]
    """
    if num_classes < 2:
        raise ValueError(f"num_classes={num_classes} must be at least 2.")
    below = ndtr(_NODES + np.asarray(margin, dtype=float)[..., None])
    return np.asarray((below ** (num_classes - 1)) @ _WEIGHTS)


def margin_at_accuracy(accuracy: float, num_classes: int) -> float:
    """Return the margin d with P_C(d) = `accuracy`; the inverse of `accuracy_at_margin`.

    Raises:
        ValueError: If `accuracy` is not between chance, 1 / C, and 1.
    """
    if not 1 / num_classes < accuracy < 1:
        raise ValueError(
            f"accuracy={accuracy:g} must lie between chance, {1 / num_classes:g}, and 1."
        )
    margin: float = brentq(
        lambda d: float(accuracy_at_margin(d, num_classes)) - accuracy, 0.0, _LARGEST_MARGIN
    )
    return margin


@dataclass(frozen=True)
class MarginLaw:
    """Accuracy after n further models: P_C(d₀ / √(1 + rate · n)).

    Attributes:
        margin: d₀ of a model that was just learned, in standard deviations of the outputs.
        rate: Power of the noise of one further model over that of the outputs. With independent
            contexts it is inversely proportional to the width: rate = c / width.
        num_classes: C.
    """

    margin: float
    rate: float
    num_classes: int

    def accuracy(self, further: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the accuracies after n further models, in the shape of `further`."""
        noise = 1 + self.rate * np.asarray(further, dtype=float)
        margin: npt.NDArray[np.float64] = self.margin / np.sqrt(noise)
        return accuracy_at_margin(margin, self.num_classes)


def fit_margin_law(further: npt.ArrayLike, accuracy: npt.ArrayLike, num_classes: int) -> MarginLaw:
    """Fit the margin law to measured accuracies by least squares.

    Args:
        further: Numbers n of further models, shape (points,), at least two of them different.
        accuracy: Mean accuracies at those, fractions.
        num_classes: C, at least 2.

    Example:
        >>> from analysis.capacity import MarginLaw, fit_margin_law
        >>> law = MarginLaw(margin=4.0, rate=0.1, num_classes=10)
        >>> fitted = fit_margin_law([0, 5, 20, 50], law.accuracy([0, 5, 20, 50]), num_classes=10)
        >>> round(fitted.margin, 3), round(fitted.rate, 3)
        (4.0, 0.1)
    """
    n, measured = np.asarray(further, dtype=float), np.asarray(accuracy, dtype=float)

    def residuals(parameters: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        margin, log_rate = parameters
        law = MarginLaw(margin, math.exp(log_rate), num_classes)
        difference: npt.NDArray[np.float64] = law.accuracy(n) - measured
        return difference

    start = np.clip(measured.max(), 1.01 / num_classes, 0.9999)
    margin, log_rate = least_squares(
        residuals, [margin_at_accuracy(float(start), num_classes), math.log(0.01)]
    ).x
    return MarginLaw(float(margin), math.exp(log_rate), num_classes)
