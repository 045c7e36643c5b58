"""Simulation of the models that follow: their updates, bound to unused contexts."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from analysis.capacity._amplification import TINY, Amplification, gains_of
from analysis.capacity._sides import Sides
from analysis.capacity._sizes import Update, UpdateSizes, energy_of
from analysis.networks._weights import weights_of
from psp_contexts import IdentityContexts, PermutationContexts

DRIFT_EXPONENT = 0.25
"""Exponent with which drift grows beyond the observed models: 0.2 to 0.45, by the layer."""

CONTEXTS = 8
"""Unused contexts for each simulated curve; more updates than these share them."""


def superposed_weights(net: nn.Module) -> dict[str, Sides]:
    """Return the superposed weights of a network, if their updates can be simulated.

    Raises:
        ValueError: If there is none, or one has contexts that cannot.
    """
    weights = {name: Sides.of(weight) for name, weight in weights_of(net).items()}
    for sides in weights.values():
        path = sides.weight.path
        if next(sides.inputs.parameters(), None) is not None:
            raise ValueError(
                f"predict_retention: the contexts of layer '{path}' are learned, and go "
                "where training leads; superpose with a fixed family."
            )
        if isinstance(sides.inputs, IdentityContexts):
            raise ValueError(
                f"predict_retention: without contexts the updates of layer '{path}' are not "
                "independent noise; superpose with another family than IdentityContexts."
            )
    return weights


def update_of(
    weights: Mapping[str, Sides],
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    model: int,
    gains: Mapping[str, float],
) -> Update:
    """ΔŴ = R_k⁻¹ (D_after − (1 + a) D_before) C_k: what model k added of its own, as it sees it."""
    return {
        name: sides.retrieve(after[name] - (1 + gains[name]) * before[name], model)
        for name, sides in weights.items()
    }


class Simulation:
    """A network that has just learned a model, as it is when further models are learned.

    Their updates are noise. As those of different models point in independent directions their
    powers add up: n updates are `CONTEXTS` of them, scaled. All have the size of the next one.

    Permutations leave parts in place, such as the mean of every row. All models share these and
    train them. A model meets their drift over the models that followed it, and the last one that
    back to those before it; but not over the first, which moved from the initial weights. The drift
    that other models met would cost it more. Beyond, the drift grows slowly.

    Args:
        weights: The superposed weights of the network.
        states: State dicts after each of the first models.
        num_models: Number of models to predict for.
    """

    def __init__(
        self, weights: Mapping[str, Sides], states: Sequence[Mapping[str, Any]], num_models: int
    ) -> None:
        gains = [gains_of(weights, *pair) for pair in pairwise(states)]
        self._updates = [
            update_of(weights, *pair, model, gains[model - 1])
            for model, pair in enumerate(pairwise(states), 1)
        ]
        self.sizes = UpdateSizes(weights, states, self._updates, num_models)
        self.amplification = Amplification(weights, states, self.sizes.energies)
        self._weights, self._states = weights, states
        self._means = {
            name: [sides.shared_part(state[name]) for state in states]
            for name, sides in weights.items()
            if isinstance(sides.inputs, PermutationContexts)
        }

    def noise(self, model: int, seed: tuple[int, ...]) -> Update:
        """Draw the noise of one further update, in the stored weights."""
        rng = np.random.default_rng(seed)
        others = rng.choice([k for k in range(len(self._updates)) if k + 1 != model], CONTEXTS)
        signs = rng.choice((-1, 1), CONTEXTS)
        energies = self.sizes.energies[model] / CONTEXTS
        noise = {}
        for energy, (name, sides) in zip(energies, self._weights.items(), strict=True):
            unused = sides.unused(CONTEXTS + 1, seed)
            stored = shared = torch.zeros_like(self._states[model][name])
            for context, (other, sign) in enumerate(zip(others, signs, strict=True), 1):
                update = self._updates[other][name]
                scale = sign * math.sqrt(energy / max(energy_of(update), TINY))
                stored = stored + unused.store(scale * update, context)
                shared = shared + sides.shared_part(scale * update)
            noise[name] = sides.store(unused.retrieve(stored, 0) - shared, model)
        return noise

    def apply(self, model: int, further: int, noise: Update) -> None:
        """Set the weights to what they are so many models after `model`."""
        mixing = self.amplification.mixing(model, further)
        last = len(self._states) - 1
        other = max(last - further, 1) if model == last else min(model + further, last)
        growth = (further / abs(other - model)) ** DRIFT_EXPONENT
        for name, sides in self._weights.items():
            learned = self._states[model][name]
            value = learned + math.sqrt(further) * noise[name]
            if name in mixing:
                value += (mixing[name] @ learned.flatten(1)).view_as(learned)
            if name in self._means:
                value += growth * (self._means[name][other] - self._means[name][model])
            sides.set(value)
