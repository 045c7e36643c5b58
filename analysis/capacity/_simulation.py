"""Simulation of the models that follow: their updates, bound to unused contexts."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from torch import Tensor, nn

from analysis.capacity._amplification import Amplification, Gains, gains_of
from analysis.capacity._retention import loads
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
    gains: Gains,
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

    Permutations leave parts in place, such as the mean of every row, which all models share and
    train. Their drift is what a model met itself: from its state to later observed ones. The last
    model has none, and takes the drift back to earlier ones, but not to the first, which is close
    to the initial weights. Beyond the observed models it grows slowly.

    Args:
        weights: The superposed weights of the network.
        states: State dicts after each of the first models.
        num_models: Number of models to predict for.

    Attributes:
        sizes: See `Retention`.
        growth: See `Retention`.
        further: Numbers of updates to test after, from 0 up.
    """

    def __init__(
        self, weights: Mapping[str, Sides], states: Sequence[Mapping[str, Any]], num_models: int
    ) -> None:
        gains = [gains_of(weights, *pair) for pair in pairwise(states)]
        self._updates = [
            update_of(weights, *pair, model, gains[model - 1])
            for model, pair in enumerate(pairwise(states), 1)
        ]
        sizes = UpdateSizes(weights, states, self._updates, num_models)
        amplification = Amplification(weights, states, gains, sizes.energies)
        moves = [any(bool(update[name].any()) for update in self._updates) for name in weights]
        self.sizes = sizes.relative
        self.growth = amplification.growth[:, moves if any(moves) else slice(None)]
        self.further = self._test_points()
        self._weights, self._states, self._energies = weights, states, sizes.energies
        self._means = {
            name: [sides.shared_part(state[name]) for state in states]
            for name, sides in weights.items()
            if isinstance(sides.inputs, PermutationContexts)
        }
        counts = [last for last in self.further if last < num_models]
        met = [loads(self.sizes, self.growth, last).mean() for last in counts]
        self._mixing: dict[str, list[Tensor]] = {}
        for name, matrix in amplification.mixing.items():
            mixed = amplification.mixed[name]
            means = [(mixed[last] - mixed[: last + 1]).mean() for last in counts]
            shares = np.interp(self.further, met, means)
            self._mixing[name] = [share * matrix for share in shares.tolist()]

    def noise(self, model: int, seed: tuple[int, ...]) -> Update:
        """Draw the noise of one further update, in the stored weights."""
        rng = np.random.default_rng(seed)
        others = rng.choice([k for k in range(len(self._updates)) if k + 1 != model], CONTEXTS)
        signs = rng.choice((-1, 1), CONTEXTS)
        energies = self._energies[model] / CONTEXTS
        noise = {}
        for energy, (name, sides) in zip(energies, self._weights.items(), strict=True):
            unused = sides.unused(CONTEXTS + 1, seed)
            stored = shared = self._updates[0][name].new_zeros(())
            for context, (other, sign) in enumerate(zip(others, signs, strict=True), 1):
                update = self._updates[other][name]
                scale = sign * math.sqrt(energy / (energy_of(update) or 1.0))
                stored = stored + unused.store(scale * update, context)
                shared = shared + sides.shared_part(scale * update)
            noise[name] = sides.store(unused.retrieve(stored, 0) - shared, model)
        return noise

    def apply(self, model: int, point: int, noise: Update) -> None:
        """Set the weights to what they are `further[point]` updates after `model`."""
        further, last = self.further[point], len(self._states) - 1
        other = max(last - further, 1) if model == last else min(model + further, last)
        growth = (further / abs(other - model)) ** DRIFT_EXPONENT
        for name, sides in self._weights.items():
            learned = self._states[model][name].to(noise[name].device)
            value = learned + math.sqrt(further) * noise[name]
            if name in self._mixing:
                matrix = self._mixing[name][point].to(learned.device)
                value += (matrix @ learned.to(matrix)).to(value)
            if name in self._means:
                value += growth * (self._means[name][other] - self._means[name][model])
            sides.set(value)

    def _test_points(self) -> tuple[int, ...]:
        """Return numbers of updates up to the most that a model meets, each a third above the last.

        That is more than there are models if weights decay, and is cut off where nothing is left.
        """
        count = len(self.sizes)
        most = min(
            max(count - 1, math.ceil(loads(self.sizes, self.growth, count - 1).max())), 10 * count
        )
        points, n = {0, count - 1, most}, 1
        while n < most:
            points.add(n)
            n = max(n + 1, round(n * 1.3))
        return tuple(sorted(points))
