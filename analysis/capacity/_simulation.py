"""Simulation of the models that follow: their updates, bound to unused contexts."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from analysis.networks._weights import Weight, weights_of
from psp_contexts import (
    Contexts,
    IdentityContexts,
    PermutationContexts,
    RotationContexts,
    SignedPermutationContexts,
)

DRAWS_PER_TEST = 8
"""Most contexts to draw between two tests; more updates than these share contexts."""

Rows = dict[str, Tensor]
"""Weights by dotted name, in the rows on which contexts act."""


def superposed_weights(net: nn.Module) -> dict[str, Weight]:
    """Return the superposed weights of a network, if their updates can be simulated.

    Raises:
        ValueError: If there is none, or one has contexts that cannot.
    """
    weights = weights_of(net)
    for weight in weights.values():
        if next(weight.contexts.parameters(), None) is not None:
            raise ValueError(
                f"predict_retention: the contexts of layer '{weight.path}' are learned, and go "
                "where training leads; superpose with a fixed family."
            )
        if isinstance(weight.contexts, IdentityContexts):
            raise ValueError(
                f"predict_retention: without contexts the updates of layer '{weight.path}' are not "
                "independent noise; superpose with another family than IdentityContexts."
            )
        if weight.layer.output_contexts_for(weight.key) is not None:
            raise ValueError(
                f"predict_retention: the outputs of layer '{weight.path}' are permuted per model, "
                "which the simulation does not do; superpose with two_sided=False."
            )
    return weights


def update_of(
    weights: Mapping[str, Weight], before: Mapping[str, Any], after: Mapping[str, Any], model: int
) -> Rows:
    """ΔŴ = (W_after − W_before) C_k: what learning model k added, as it sees it."""
    update = {}
    for name, weight in weights.items():
        index = weight.index(model)
        update[name] = weight.contexts.retrieve(weight.rows(after[name] - before[name]), index)
    return update


@dataclass(frozen=True)
class Decline:
    """‖ΔW_k‖² = factor · k^−exponent, over all weights."""

    factor: float
    exponent: float
    energies: tuple[float, ...]

    @classmethod
    def fit(cls, updates: Sequence[Rows]) -> "Decline":
        energies = [sum(float(_power(rows).sum()) for rows in each.values()) for each in updates]
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
        weights: Mapping[str, Weight],
        updates: Sequence[Rows],
        others: Sequence[int],
        decline: Decline,
        model: int,
        num_models: int,
        seed: tuple[int, ...],
    ) -> None:
        self._weights, self._updates, self._others = weights, updates, others
        self._decline, self._model, self._num_models = decline, model, num_models
        self._rng = np.random.default_rng(seed)
        self._contexts = {
            name: _unused(weight, num_models, seed) for name, weight in weights.items()
        }

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
            for name, weight in self._weights.items():
                update, contexts = self._updates[other - 1][name], self._contexts[name]
                bound = contexts.store(update, weight.index(int(chunk[0])))
                read = contexts.retrieve(bound, weight.index(0))
                noise = factor * (read - _shared_part(contexts, update))
                index = weight.index(self._model)
                weight.add(weight.contexts.store(noise, index))


def _unused(weight: Weight, count: int, seed: tuple[int, ...]) -> Contexts:
    """Return unused contexts like those of a weight: index 0 to read, n for the n-th update."""
    contexts = weight.contexts
    options = {name: value for name, value in contexts.spec().items() if name != "family"}
    digest = hashlib.blake2b(repr((options["seed"], seed)).encode(), digest_size=7).digest()
    groups = contexts.num_contexts // weight.num_contexts
    options |= {"num_contexts": groups * count, "seed": int.from_bytes(digest, "little")}
    family = type(contexts)
    if isinstance(contexts, RotationContexts):
        # The same covariance for any weights and inputs, without dim³ operations for each draw.
        family = SignedPermutationContexts
    return family(**options)


class Drift:
    """Drift of what a permutation leaves in place: the mean of every row.

    All models share these means and all of them train them, so that they wander about a common
    value instead of ever further: the drift over the longest observed lag stands for longer ones.
    The state after the first model is left out, since that model moved from the initial weights.
    """

    def __init__(
        self,
        weights: Mapping[str, Weight],
        states: Sequence[Mapping[str, Any]],
        seed: tuple[int, ...],
    ) -> None:
        self._rng = np.random.default_rng((*seed, 1))
        self._weights = {
            name: weight
            for name, weight in weights.items()
            if isinstance(weight.contexts, PermutationContexts)
        }
        self._means = [
            {
                name: _shared_part(weight.contexts, weight.rows(state[name]))
                for name, weight in self._weights.items()
            }
            for state in states[1:]
        ]
        self._applied = {name: torch.zeros(()) for name in self._weights}

    def set(self, further: int) -> None:
        """Apply the drift after so many further models, in place of the one before."""
        lag = min(further, len(self._means) - 1)
        first = int(self._rng.integers(len(self._means) - lag))
        sign = int(self._rng.choice((-1, 1)))
        for name, weight in self._weights.items():
            drift = sign * (self._means[first + lag][name] - self._means[first][name])
            weight.add(drift - self._applied[name])
            self._applied[name] = drift


def _shared_part(contexts: Contexts, rows: Tensor) -> Tensor:
    """Return the part of rows that every model reads alike, as a column; zero if unbiased."""
    if isinstance(contexts, PermutationContexts):
        return rows.mean(-1, keepdim=True)
    return torch.zeros_like(rows[..., :1])


def _power(rows: Tensor) -> Tensor:
    return rows.abs().square()
