"""Sizes of the updates to come, from those of the first few."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from analysis.capacity._retention import Curve
from analysis.capacity._sides import Sides

Update = dict[str, Tensor]
"""Changes of weights by dotted name, as a model sees them."""

EXPONENT, EXPONENT_SPREAD = -1.0, 0.25
"""Exponent with which ‖ΔW‖² goes as ‖W‖² where little is known, and its standard deviation.

It is -1 for weights in front of a normalisation, whose scale has no effect, and near it for others.
"""

FLUCTUATION = 0.05
"""Standard deviation of log ‖ΔW‖² from one update to the next."""


class UpdateSizes:
    """Energies ‖ΔW_l‖² = c_l ‖W‖^2p of updates, weight by weight, in stored weights W.

    An update is the smaller, the larger the weights are to which it is added. As updates of
    different models are independent, each adds its energy to ‖W‖². The exponent p is fitted on the
    observed updates, beside what is known of it; the factors c_l on their later half, since the
    first updates also leave the initial weights behind.

    Args:
        weights: The superposed weights.
        states: State dicts after each of the first models.
        updates: Updates between them.
        num_models: Number of models to predict for.

    Attributes:
        relative: Energies of the updates after model 0, 1, … in proportion, shape (num_models,).
        energies: Their expected energies, shape (num_models, len(weights)).
    """

    def __init__(
        self,
        weights: Mapping[str, Sides],
        states: Sequence[Mapping[str, Any]],
        updates: Sequence[Update],
        num_models: int,
    ) -> None:
        total = [
            sum(energy_of(state[name]) + sides.base_energy for name, sides in weights.items())
            for state in states
        ]
        observed = np.array([[energy_of(update[name]) for name in weights] for update in updates])
        observed = np.maximum(observed, np.finfo(float).tiny)  # a frozen layer does not change
        before = np.log(total[:-1])
        self.exponent = _exponent(before, np.log(observed.sum(1)))
        later = slice(len(updates) // 2, None)
        factors = np.exp((np.log(observed[later]) - self.exponent * before[later, None]).mean(0))
        while len(total) < num_models:
            total.append(total[-1] + float(factors.sum()) * total[-1] ** self.exponent)
        self.relative: Curve = np.array(total) ** self.exponent
        self.energies: Curve = factors * self.relative[:, None]


def energy_of(value: Tensor) -> float:
    """Return the sum of squares."""
    return float(value.abs().square().sum())


def _exponent(x: Curve, y: Curve) -> float:
    """Return the slope of y on x, with `EXPONENT` as its prior mean.

    It is at most 0: updates that grew with the weights would soon grow without limit.
    """
    x, y = x - x.mean(), y - y.mean()
    known, seen = EXPONENT_SPREAD**-2, FLUCTUATION**-2
    return min(0.0, float((known * EXPONENT + seen * (x @ y)) / (known + seen * (x @ x))))
