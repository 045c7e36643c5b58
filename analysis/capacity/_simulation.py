"""Simulation of the models that follow: their updates, bound to unused contexts."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from analysis.capacity._sides import Sides
from analysis.capacity._sizes import Update, UpdateSizes, energy_of
from analysis.networks._weights import weights_of
from psp_contexts import IdentityContexts, PermutationContexts

DRAWS_PER_TEST = 8
"""Most contexts to draw between two tests; more updates than these share contexts."""


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
    weights: Mapping[str, Sides], before: Mapping[str, Any], after: Mapping[str, Any], model: int
) -> Update:
    """ΔŴ = R_k⁻¹ (D_after − D_before) C_k: what learning model k added, as it sees it."""
    return {
        name: sides.retrieve(after[name] - before[name], model) for name, sides in weights.items()
    }


class Simulation:
    """Adds updates of other models to the network that has just learned `model`.

    All have the size of the next one.
    """

    def __init__(
        self,
        weights: Mapping[str, Sides],
        updates: Sequence[Update],
        others: Sequence[int],
        sizes: UpdateSizes,
        model: int,
        num_models: int,
        seed: tuple[int, ...],
    ) -> None:
        self._weights, self._updates, self._others = weights, updates, others
        self._next, self._model, self._num_models = sizes.of_next(model), model, num_models
        self._rng = np.random.default_rng(seed)
        self._unused = {name: sides.unused(num_models, seed) for name, sides in weights.items()}

    def add(self, earlier: int, now: int) -> None:
        """Add the updates of the further models earlier + 1 … now to the stored weights."""
        bound: Update = {}
        shared: Update = {}
        for chunk in np.array_split(
            np.arange(earlier + 1, now + 1), min(now - earlier, DRAWS_PER_TEST)
        ):
            other = int(self._rng.choice(self._others))
            sign = int(self._rng.choice((-1, 1)))
            for name, sides in self._weights.items():
                update = self._updates[other - 1][name]
                if not update.any():
                    continue
                # Updates of different models point in independent directions: their powers add up.
                energy = len(chunk) * self._next[name] / energy_of(update)
                update = sign * math.sqrt(energy) * update
                stored = self._unused[name].store(update, int(chunk[0]))
                bound[name] = bound.get(name, 0.0) + stored
                shared[name] = shared.get(name, 0.0) + sides.shared_part(update)
        for name, value in bound.items():
            sides = self._weights[name]
            noise = self._unused[name].retrieve(value, 0) - shared[name]
            sides.add(sides.store(noise, self._model))


class Drift:
    """Drift of what permutations leave in place, such as the mean of every row.

    All models share these means and all of them train them, so that they wander about a common
    value instead of ever further: the drift over the longest observed lag stands for longer ones.
    The state after the first model is left out, since that model moved from the initial weights.
    """

    def __init__(
        self,
        weights: Mapping[str, Sides],
        states: Sequence[Mapping[str, Any]],
        seed: tuple[int, ...],
    ) -> None:
        self._rng = np.random.default_rng((*seed, 1))
        self._weights = {
            name: sides
            for name, sides in weights.items()
            if isinstance(sides.inputs, PermutationContexts)
        }
        self._means = [
            {name: sides.shared_part(state[name]) for name, sides in self._weights.items()}
            for state in states[1:]
        ]
        self._applied = {name: torch.zeros(()) for name in self._weights}

    def set(self, further: int) -> None:
        """Apply the drift after so many further models, in place of the one before."""
        lag = min(further, len(self._means) - 1)
        first = int(self._rng.integers(len(self._means) - lag))
        sign = int(self._rng.choice((-1, 1)))
        for name, sides in self._weights.items():
            drift = sign * (self._means[first + lag][name] - self._means[first][name])
            sides.add(drift - self._applied[name])
            self._applied[name] = drift
