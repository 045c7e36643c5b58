"""Common part of all updates: they amplify the stored weights, and mix the outputs."""

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

COMMON_EXPONENT = -2.0
"""Exponent with which the common part goes as ‖W_l‖²."""

MOST_OUTPUTS = 64
"""Most outputs of a weight whose mixing is taken into account."""

LEAST_INPUTS = 4
"""Least number of its inputs, as a multiple of its outputs."""

LEAST = 1e-30
"""Least growth and norm, where weights decay without end."""

Gains = Mapping[str, float]
"""a_l of (1 + a_l) W_l + ΔW_l, with ΔW_l at right angles to W_l, by weight."""


class Amplification:
    """Common part of all updates, W_l → (1 + a_l + A_l) W_l, with A_l acting on the outputs.

    Every task enlarges the output layer, and so the models before it; noise that comes later is
    then the weaker. It also mixes the outputs much as other tasks do, which adds up. Both go as
    ‖W_l‖⁻⁴. Weights that shrink, as by weight decay, do so at a steady rate.

    Args:
        weights: The superposed weights.
        states: State dicts after each of the first models.
        gains: Gains of the updates between them.
        energies: Expected energies of the updates, shape (num_models, len(weights)).

    Attributes:
        growth: Factors by which weights have been multiplied when model 0, 1, … was learned, shape
            (num_models, len(weights)).
        mixed: Sum of ‖W_l‖⁻⁴ over the updates before model 0, 1, …, in units of the last observed
            one, by weight.
        mixing: A_l in the same unit, (outputs, outputs), by weight; only of weights that have one.
    """

    def __init__(
        self,
        weights: Mapping[str, Sides],
        states: Sequence[Mapping[str, Any]],
        gains: Sequence[Gains],
        energies: Curve,
    ) -> None:
        norms = np.array([[energy_of(state[name]) for name in weights] for state in states])
        observed = np.array([list(row.values()) for row in gains])
        zero = (norms == 0).any(0)
        norms[:, zero], observed[:, zero] = 1, 0
        relative = norms / norms[-1]
        rates = _significant(observed / relative[:-1] ** COMMON_EXPONENT)
        steady = np.minimum(_significant(observed), 0)
        growth: list[Curve] = [np.ones(len(weights))]
        scales: list[Curve] = []
        norm = relative[0]
        for count, energy in enumerate(energies[:-1] / norms[-1], 1):
            scales.append(norm**COMMON_EXPONENT)
            factor = 1 + np.where(rates > 0, rates * scales[-1], steady)
            growth.append(np.maximum(growth[-1] * factor, LEAST))
            following = np.maximum(norm * factor**2 + energy, LEAST)
            norm = relative[count] if count < len(relative) else following
        self.growth: Curve = np.stack(growth)
        mixed = np.concatenate([np.zeros((1, len(weights))), np.cumsum(scales, 0)])
        self.mixed: dict[str, Curve] = dict(zip(weights, mixed.T, strict=True))
        self.mixing = {
            name: _mixing([state[name] for state in states])
            for name, sides in weights.items()
            if _has_mixing(sides, [state[name] for state in states])
        }


def gains_of(
    weights: Mapping[str, Sides], before: Mapping[str, Any], after: Mapping[str, Any]
) -> Gains:
    """Return the gains of an update; 0 over a base, which is not amplified."""
    gains = {}
    for name, sides in weights.items():
        was, now = before[name], after[name]
        if was.is_complex():
            was, now = torch.view_as_real(was), torch.view_as_real(now)
        energy = 0.0 if sides.base_energy else energy_of(was)
        gains[name] = float((was * (now - was)).sum()) / energy if energy else 0.0
    return gains


def _has_mixing(sides: Sides, stored: Sequence[Tensor]) -> bool:
    """Return True for a linear layer with few outputs, in one frame for all models.

    Of others it cannot be told what the updates have in common.
    """
    if sides.outputs is not None or sides.base_energy or not all(value.any() for value in stored):
        return False
    shape = stored[0].shape
    linear = len(shape) == 2 and sides.to_outputs(stored[0]).shape == shape
    return linear and shape[0] <= min(MOST_OUTPUTS, shape[1] / LEAST_INPUTS)


def _mixing(stored: Sequence[Tensor]) -> Tensor:
    """Return A of the observed updates, in units of the last one: their mean, less what differs."""
    unit, matrices = energy_of(stored[-1]), []
    for was, now in pairwise(
        value.to(torch.promote_types(value.dtype, torch.float32)) for value in stored
    ):
        solved = (now - was) @ was.mH @ torch.linalg.pinv(was @ was.mH, hermitian=True)
        scaled = solved / (energy_of(was) / unit) ** COMMON_EXPONENT
        matrices.append(scaled - scaled.diagonal().mean() * torch.eye(len(was)).to(scaled))
    every = torch.stack(matrices)
    directions, count = normalize(every.flatten(1), dim=1), len(every)
    cosine = float(((directions @ directions.mH).real.sum() - count) / (count * (count - 1)))
    shared = max(cosine, 0.0)
    return shared / (shared + (1 - shared) / count) * every.mean(0)


def _significant(values: Curve) -> Curve:
    """Return the means of columns, shrunk by the share of their square that is scatter."""
    mean, variance = values.mean(0), values.var(0, ddof=1) / len(values)
    share = 1 - variance / np.maximum(mean**2, LEAST)
    shrunk: Curve = mean * share.clip(0, 1)
    return shrunk
