"""Prediction of how many models will fit, from the first few.

Under contexts drawn independently, the update of a later model reaches an earlier one as noise.
The noise of the network's own updates under unused contexts is as strong as that of the updates to
come. So a network that has learned a few models shows how it will forget: its updates are bound to
unused contexts, added to it, and it is tested again. Nothing is trained.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from analysis.capacity._retention import Curve, Retention
from analysis.capacity._simulation import Simulation, superposed_weights
from psp_nn import use_context

Evaluate = Callable[[nn.Module, int], float]


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
    models, each bound to a context of its own. Updates shrink as the stored weights grow, and
    amplify what is stored; see `Retention`. What all models share (biases, shared norms) stays as
    it was when model i was learned.

    Args:
        net: What `superpose` returned, with fixed contexts on one side or both, over a base or not.
            Its state is put back at the end.
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
            is superposed, or its contexts are learned or `IdentityContexts`.

    Source:
        Ours; `docs/results-capacity.md` holds it against measured curves.

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
    weights = superposed_weights(net)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    try:
        simulation = Simulation(weights, states, num_models)
        matrix = _measure(net, states, evaluate)
        curves = []
        for model, draw in itertools.product(range(len(states)), range(draws)):
            net.load_state_dict(states[model])
            noise = simulation.noise(model, (seed, model, draw))
            with use_context(net, model):
                curves.append([matrix[model, model]])
                for point in range(1, len(simulation.further)):
                    simulation.apply(model, point, noise)
                    curves[-1].append(evaluate(net, model))
    finally:
        net.load_state_dict(before)
    return Retention(
        simulation.further, np.array(curves), matrix, simulation.sizes, simulation.growth
    )


def _measure(net: nn.Module, states: Sequence[Mapping[str, Any]], evaluate: Evaluate) -> Curve:
    matrix = np.full((len(states), len(states)), math.nan)
    for count, state in enumerate(states):
        net.load_state_dict(state)
        for model in range(count + 1):
            with use_context(net, model):
                matrix[count, model] = evaluate(net, model)
    return matrix
