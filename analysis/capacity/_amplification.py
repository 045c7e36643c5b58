"""Common part of all updates: they amplify the stored weights, and mix the classes."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from analysis.capacity._retention import Curve
from analysis.capacity._sides import Sides
from analysis.capacity._sizes import energy_of

EXPONENT = -2.0
"""Exponent with which the common part of updates goes as ‖W_l‖²."""

MOST_CLASSES = 64
"""Most outputs of a weight whose mixing is taken into account."""

LEAST_GROWTH = 1e-3
"""Least growth: weights that shrink further have lost their models."""

TINY = 1e-30
"""Energy in place of 0."""


class Amplification:
    """Common part of all updates, W_l → (1 + a_l + A_l) W_l, with A_l acting on the outputs.

    Every task enlarges the outputs, and so the models before it; noise that comes later is then
    the weaker. It also mixes the outputs of the last layer much as other tasks do, which adds up.
    Both go as ‖W_l‖⁻⁴. Weights that shrink, as by weight decay, do so at a steady rate. A base is
    not amplified.

    Args:
        weights: The superposed weights.
        states: State dicts after each of the first models.
        energies: Expected energies of the updates; see `UpdateSizes`.

    Attributes:
        growth: Factors by which weights have been multiplied when model 0, 1, … was learned, shape
            (num_models, len(weights)).
    """

    def __init__(
        self, weights: Mapping[str, Sides], states: Sequence[Mapping[str, Any]], energies: Curve
    ) -> None:
        norms = np.array([[energy_of(state[name]) for name in weights] for state in states])
        norms = np.maximum(norms, TINY)
        observed = np.array([list(gains_of(weights, *pair).values()) for pair in pairwise(states)])
        steady = _significant(observed)
        rates = _significant(observed / norms[:-1] ** EXPONENT)
        norm: Curve = norms[0]
        gains: list[Curve] = []
        decline: list[Curve] = []
        for count, energy in enumerate(energies[:-1]):
            norm = norms[count] if count < len(norms) else norm
            decline.append(norm**EXPONENT)
            gains.append(np.where(rates > 0, rates * decline[-1], steady))
            norm = np.maximum(norm * (1 + gains[-1]) ** 2 + energy, TINY)
        start = np.zeros((1, len(weights)))
        growth = np.concatenate([start + 1, (1 + np.array(gains)).cumprod(0)])
        self.growth: Curve = np.maximum(growth, LEAST_GROWTH)
        self._mixing = mixing_of(weights, states)
        total = np.concatenate([start, np.array(decline).cumsum(0)])
        self._total = dict(zip(weights, total.T, strict=True))

    def mixing(self, model: int, further: int) -> dict[str, Tensor]:
        """Return the sum of A over so many models after `model`, by weight."""
        last = min(model + further, len(self.growth) - 1)
        return {
            name: float(self._total[name][last] - self._total[name][model]) * matrix
            for name, matrix in self._mixing.items()
        }


def gains_of(
    weights: Mapping[str, Sides], before: Mapping[str, Any], after: Mapping[str, Any]
) -> dict[str, float]:
    """Return a_l of (1 + a_l) W_l + ΔW_l, with ΔW_l at right angles to W_l, by weight."""
    gains = {}
    for name, sides in weights.items():
        was, now = (
            torch.view_as_real(state[name]) if state[name].is_complex() else state[name]
            for state in (before, after)
        )
        product = float((was * (now - was)).sum())
        gains[name] = 0.0 if sides.base_energy else product / max(energy_of(was), TINY)
    return gains


def mixing_of(
    weights: Mapping[str, Sides], states: Sequence[Mapping[str, Any]]
) -> dict[str, Tensor]:
    """Return A_l ‖W_l‖⁴, the part that the observed updates have in common, by weight.

    Only of weights with few outputs, in one frame for all models: for others it cannot be told
    from what tells the updates apart.
    """
    mixing = {}
    for name, sides in weights.items():
        stored = [state[name].flatten(1) for state in states]
        outputs, inputs = stored[0].shape
        if (
            sides.outputs is not None
            or sides.base_energy
            or outputs > min(MOST_CLASSES, inputs / 4)
        ):
            continue
        matrices = []
        for was, now in pairwise(stored):
            solved = torch.linalg.lstsq(was.mT, (now - was).mT).solution.mT
            scaled = solved * energy_of(was) ** -EXPONENT
            matrices.append(scaled - scaled.diagonal().mean() * torch.eye(outputs).to(scaled))
        mixing[name] = _common(torch.stack(matrices))
    return mixing


def _significant(values: Curve) -> Curve:
    """Return the means of columns, shrunk by the share of their square that is scatter."""
    mean, variance = values.mean(0), values.var(0, ddof=1) / len(values)
    share = 1 - variance / np.maximum(mean**2, TINY)
    shrunk: Curve = mean * share.clip(0, 1)
    return shrunk


def _common(matrices: Tensor) -> Tensor:
    """Return the mean of matrices, shrunk by the share that is their own."""
    count = len(matrices)
    directions = normalize(matrices.flatten(1), dim=1)
    cosine = float(((directions @ directions.mH).real.sum() - count) / (count * (count - 1)))
    shared = max(cosine, 0.0)
    return shared / (shared + (1 - shared) / count) * matrices.mean(0)
