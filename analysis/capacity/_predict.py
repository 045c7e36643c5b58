"""Prediction of how many models will fit, from the first few.

Under contexts drawn independently, the update of a later model reaches an earlier one as noise.
The noise of the network's own updates under unused contexts is as strong as that of the updates to
come. So a network that has learned a few models shows how it will forget: its updates are bound to
unused contexts, added to it, and it is tested again. Nothing is trained.
"""

import hashlib
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from analysis.capacity._retention import Curve, Retention
from psp_contexts import (
    Contexts,
    IdentityContexts,
    PermutationContexts,
    RotationContexts,
    SignedPermutationContexts,
)
from psp_nn import Superposed, use_context

Evaluate = Callable[[nn.Module, int], float]

DRAWS_PER_TEST = 8
"""Most contexts to draw between two tests; more updates than these share contexts."""

Rows = dict[str, Tensor]
"""Weights by dotted name, in the rows on which contexts act."""


@torch.no_grad()
def predict_retention(
    net: nn.Module,
    states: Sequence[Mapping[str, Any]],
    evaluate: Evaluate,
    *,
    num_models: int,
    seed: int,
    draws: int = 4,
) -> Retention:
    """Predict how a superposition forgets, from its states after each of the first few models.

    Model i, just learned, after n further models is the stored network plus n updates of other
    models, each bound to a context of its own and scaled by the slow decline of ‖ΔW_k‖² ∝ k^−γ,
    fitted on the observed updates. What all models share (biases, shared norms) stays as it was
    when model i was learned.

    Args:
        net: What `superpose` returned, with fixed contexts on the inputs of its layers only. Its
            state is put back at the end.
        states: Copies of `net.state_dict()` after models 0 … T−1 were learned one after the
            other, model k in context k. T is at least 3; 4 to 8 give a good prediction.
        evaluate: Called with the network, in model k, and k; returns its accuracy, a fraction.
        num_models: Number of models to predict for. Thousands are as cheap as hundreds.
        seed: Seed of the unused contexts and of the order of the updates.
        draws: Simulated curves for each of the T models.

    Returns:
        The predicted curve with its spread; its `capacity(tolerance)` answers how many fit.

    Raises:
        ValueError: If there are fewer than 3 states, `num_models` is less than T, nothing in `net`
            is superposed, or its contexts are learned, two-sided or `IdentityContexts`.

    Source:
        Ours; `experiments/README.md` holds it against measured curves.

    Example:
        >>> import torch
        >>> from analysis.capacity import predict_retention
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import superpose, use_context
        >>> net = superpose(
        ...     torch.nn.Linear(32, 2), family=BinaryContexts, num_contexts=4, seed=0, base=False
        ... )
        >>> x = torch.randn(4, 64, 32, generator=torch.Generator().manual_seed(0))
        >>> labels = (x[..., 0] > 0).long()
        >>> optimiser, states = torch.optim.SGD(net.parameters(), lr=0.5), []
        >>> for model in range(4):
        ...     _ = use_context(net, model)
        ...     for _ in range(20):
        ...         optimiser.zero_grad()
        ...         torch.nn.functional.cross_entropy(net(x[model]), labels[model]).backward()
        ...         optimiser.step()
        ...     states.append({name: value.clone() for name, value in net.state_dict().items()})
        >>> def evaluate(net, model):
        ...     return (net(x[model]).argmax(-1) == labels[model]).double().mean().item()
        >>> retention = predict_retention(net, states, evaluate, num_models=100, seed=0)
        >>> retention.accuracy().shape, retention.capacity(0.05).num_models < 100
        ((100,), True)
    """
    if len(states) < 3 or num_models < len(states):
        raise ValueError(
            f"predict_retention got {len(states)} states for num_models={num_models}; pass the "
            "states after at least 3 models, and at least as many models as states."
        )
    weights = _weights(net)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    try:
        updates = [
            _update(weights, *pair, k) for k, pair in enumerate(itertools.pairwise(states), 1)
        ]
        matrix = _measure(net, states, evaluate)
        decline = _Decline.fit(updates)
        further = _test_points(num_models)
        curves = []
        for model, draw in itertools.product(range(len(states)), range(draws)):
            others = [k for k in range(1, len(states)) if k != model]
            net.load_state_dict(states[model])
            simulation = _Simulation(
                weights, updates, others, decline, model, num_models, (seed, model, draw)
            )
            drift = _Drift(weights, states, (seed, model, draw))
            with use_context(net, model):
                curves.append([matrix[model, model]])
                for earlier, now in itertools.pairwise(further):
                    simulation.add(earlier, now)
                    drift.set(now)
                    curves[-1].append(evaluate(net, model))
    finally:
        net.load_state_dict(before)
    return Retention(further, np.array(curves), matrix, decline.exponent)


@dataclass(frozen=True)
class _Weight:
    """A superposed weight of a network; tied ones occur once."""

    layer: Superposed
    key: str

    @property
    def contexts(self) -> Contexts:
        return self.layer.contexts_for(self.key)

    @property
    def num_contexts(self) -> int:
        return self.layer.superposition.num_contexts

    def index(self, context: int, count: int) -> int | Tensor:
        """Return the context of every group: a family holds one group after the other."""
        groups = self.contexts.num_contexts // self.num_contexts
        return context if groups == 1 else torch.arange(groups) * count + context

    def rows(self, value: Tensor) -> Tensor:
        """Return a stored value as the rows on which contexts act."""
        return self.layer.to_rows(self.key, value.to(self.layer.stored(self.key)))

    def add(self, rows: Tensor) -> None:
        """Add rows to the stored weight."""
        stored = self.layer.stored(self.key)
        whole = rows.expand_as(self.layer.to_rows(self.key, stored))
        stored.add_(self.layer.from_rows(self.key, whole))


def _weights(net: nn.Module) -> dict[str, _Weight]:
    weights: dict[str, _Weight] = {}
    seen = set()
    for path, layer in net.named_modules():
        if not isinstance(layer, Superposed):
            continue
        for key in layer.superposition.superposed:
            contexts = layer.contexts_for(key)
            if next(contexts.parameters(), None) is not None:
                raise ValueError(
                    f"predict_retention: the contexts of layer '{path}' are learned, and go where "
                    "training leads; superpose with a fixed family."
                )
            if isinstance(contexts, IdentityContexts):
                raise ValueError(
                    f"predict_retention: without contexts the updates of layer '{path}' are not "
                    "independent noise; superpose with another family than IdentityContexts."
                )
            if layer.output_contexts_for(key) is not None:
                raise ValueError(
                    f"predict_retention: the outputs of layer '{path}' are permuted per model, "
                    "which the simulation does not do; superpose with two_sided=False."
                )
            if id(layer.stored(key)) not in seen:
                seen.add(id(layer.stored(key)))
                weights[f"{path}.{key}".lstrip(".")] = _Weight(layer, key)
    if not weights:
        raise ValueError("predict_retention: nothing in net is superposed; call superpose first.")
    return weights


def _update(
    weights: Mapping[str, _Weight], before: Mapping[str, Any], after: Mapping[str, Any], model: int
) -> Rows:
    """ΔŴ = (W_after − W_before) C_k: what learning model k added, as it sees it."""
    update = {}
    for name, weight in weights.items():
        index = weight.index(model, weight.num_contexts)
        update[name] = weight.contexts.retrieve(weight.rows(after[name] - before[name]), index)
    return update


def _measure(net: nn.Module, states: Sequence[Mapping[str, Any]], evaluate: Evaluate) -> Curve:
    matrix = np.full((len(states), len(states)), math.nan)
    for count, state in enumerate(states):
        net.load_state_dict(state)
        for model in range(count + 1):
            with use_context(net, model):
                matrix[count, model] = evaluate(net, model)
    return matrix


@dataclass(frozen=True)
class _Decline:
    """‖ΔW_k‖² = factor · k^−exponent, over all weights."""

    factor: float
    exponent: float
    energies: tuple[float, ...]

    @classmethod
    def fit(cls, updates: Sequence[Rows]) -> "_Decline":
        energies = [sum(float(_power(rows).sum()) for rows in each.values()) for each in updates]
        models = np.log(np.arange(1, len(energies) + 1))
        slope, intercept = np.polyfit(models, np.log(energies), 1)
        return cls(math.exp(intercept), -float(slope), tuple(energies))

    def share(self, model: int, models: range) -> float:
        """Return the energy of `models`' updates together, in units of the one of `model`."""
        expected = self.factor * np.arange(models.start, models.stop, dtype=float) ** -self.exponent
        return float(expected.sum()) / self.energies[model - 1]


class _Simulation:
    """Adds updates of other models to the network that has just learned `model`."""

    def __init__(
        self,
        weights: Mapping[str, _Weight],
        updates: Sequence[Rows],
        others: Sequence[int],
        decline: _Decline,
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
                bound = contexts.store(update, weight.index(int(chunk[0]), self._num_models))
                read = contexts.retrieve(bound, weight.index(0, self._num_models))
                noise = factor * (read - _shared_part(contexts, update))
                index = weight.index(self._model, weight.num_contexts)
                weight.add(weight.contexts.store(noise, index))


def _unused(weight: _Weight, count: int, seed: tuple[int, ...]) -> Contexts:
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


class _Drift:
    """Drift of what a permutation leaves in place: the mean of every row.

    All models share these means and all of them train them, so that they wander about a common
    value instead of ever further: the drift over the longest observed lag stands for longer ones.
    The state after the first model is left out, since that model moved from the initial weights.
    """

    def __init__(
        self,
        weights: Mapping[str, _Weight],
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


def _test_points(num_models: int) -> tuple[int, ...]:
    """Return the numbers of further models at which to test, each about a third above the last."""
    points, n = {0, num_models - 1}, 1
    while n < num_models:
        points.add(n)
        n = max(n + 1, round(n * 1.3))
    return tuple(sorted(points))


def _power(rows: Tensor) -> Tensor:
    return rows.abs().square()
