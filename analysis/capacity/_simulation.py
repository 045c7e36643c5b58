"""Simulation of the models that follow: their updates, bound to unused contexts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from analysis.capacity._sides import Sides
from analysis.networks._weights import weights_of
from psp_contexts import IdentityContexts, PermutationContexts

DRAWS_PER_TEST = 8
"""Most contexts to draw between two tests; more updates than these share contexts."""

Update = dict[str, Tensor]
"""Changes of weights by dotted name, as a model sees them."""


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


@dataclass(frozen=True)
class Decline:
    """‖ΔW_k‖² = factor · k^−exponent, over all weights."""

    factor: float
    exponent: float
    energies: tuple[float, ...]

    @classmethod
    def fit(cls, updates: Sequence[Update]) -> "Decline":
        energies = [
            sum(float(value.abs().square().sum()) for value in each.values()) for each in updates
        ]
        models = np.log(np.arange(1, len(energies) + 1))
        slope, intercept = np.polyfit(models, np.log(energies), 1)
        return cls(math.exp(intercept), -float(slope), tuple(energies))

    def share(self, model: int, models: range) -> float:
        """Return the energy of `models`' updates together, in units of the one of `model`."""
        expected = self.factor * np.arange(models.start, models.stop, dtype=float) ** -self.exponent
        return float(expected.sum()) / self.energies[model - 1]


class Simulation:
    """Adds updates of other models to the network that has just learned `model`."""

    def __init__(
        self,
        weights: Mapping[str, Sides],
        updates: Sequence[Update],
        others: Sequence[int],
        decline: Decline,
        model: int,
        num_models: int,
        seed: tuple[int, ...],
    ) -> None:
        self._weights, self._updates, self._others = weights, updates, others
        self._decline, self._model, self._num_models = decline, model, num_models
        self._rng = np.random.default_rng(seed)
        self._unused = {name: sides.unused(num_models, seed) for name, sides in weights.items()}

    def add(self, earlier: int, now: int) -> None:
        """Add the updates of the further models earlier + 1 … now to the stored weights."""
        for chunk in np.array_split(
            np.arange(earlier + 1, now + 1), min(now - earlier, DRAWS_PER_TEST)
        ):
            other = int(self._rng.choice(self._others))
            models = range(self._model + int(chunk[0]), self._model + int(chunk[-1]) + 1)
            # Updates of different models point in independent directions: their powers add up.
            factor = math.sqrt(self._decline.share(other, models))
            factor *= int(self._rng.choice((-1, 1)))
            for name, sides in self._weights.items():
                update, unused = self._updates[other - 1][name], self._unused[name]
                read = unused.retrieve(unused.store(update, int(chunk[0])), 0)
                noise = factor * (read - sides.shared_part(update))
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
