"""Changes that learning later models makes in the layers of an earlier one."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from analysis.networks._inputs import layer_inputs
from analysis.networks._weights import Weight, grouped, pair_power, products_of
from psp_nn import use_context


@dataclass(frozen=True)
class LayerInterference:
    """Change of one weight's outputs in an earlier model by the updates of later ones.

    Attributes:
        name: Dotted name of the weight.
        signal: Power of the model's outputs right after it was learned; over a base, of its
            difference from it.
        measured: For each later model k, the power of its update's effect on the outputs.
        expected: The same from the closed form, for contexts drawn independently; None where it is
            not known, as for learned contexts.
    """

    name: str
    signal: float
    measured: tuple[float, ...]
    expected: tuple[float, ...] | None


@torch.no_grad()
def update_interference(
    net: nn.Module,
    states: Sequence[Mapping[str, Any]],
    samples: Tensor,
    *,
    model: int,
    max_rows: int = 1024,
    seed: int = 0,
) -> list[LayerInterference]:
    """Measure what the updates of later models do to the layers of an earlier one.

    Model k moves the stored weight by ΔW_k = W^(k) − W^(k−1). As model k sees it, that is
    ΔŴ_k = ΔW_k C_k, and model i receives ΔŴ_k C_k⁻¹ C_i x: interference with the closed form of
    the family. The inputs are those of model i when it had just been learned. Permuted outputs
    (`two_sided`) keep all of these powers. Learned contexts are those of the state of model i.

    Args:
        net: What `superpose` returned; its state is put back.
        states: State dicts after models 0 … T−1 were learned one after the other, model k in
            context k.
        samples: Input of model `model`.
        model: Index i of the earlier model.
        max_rows: See `layer_inputs`.
        seed: See `layer_inputs`.

    Returns:
        One entry for each superposed weight.

    Raises:
        IndexError: If no model follows `model` in the states.
        ValueError: If nothing in `net` is superposed.

    Example:
        >>> import torch
        >>> from analysis.networks import update_interference
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import superpose
        >>> net = torch.nn.Linear(64, 8)
        >>> net = superpose(net, family=BinaryContexts, num_contexts=3, seed=0, base=False)
        >>> states = []
        >>> for model in range(3):
        ...     net.stored().data += 0.1 * torch.randn(8, 64)
        ...     states.append({name: value.clone() for name, value in net.state_dict().items()})
        >>> (layer,) = update_interference(net, states, torch.randn(200, 64), model=0)
        >>> len(layer.measured), all(0 < power < layer.signal for power in layer.measured)
        (2, True)
    """
    if not 0 <= model < len(states) - 1:
        raise IndexError(f"model={model} must be followed by another one in {len(states)} states.")
    weights = products_of(net)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    try:
        net.load_state_dict(states[model])
        with use_context(net, model):
            inputs = layer_inputs(net, samples, max_rows=max_rows, seed=seed)
        return [_measure(weights[name], states, x, model) for name, x in inputs.items()]
    finally:
        net.load_state_dict(before)


def _measure(
    weight: Weight, states: Sequence[Mapping[str, Any]], x: Tensor, model: int
) -> LayerInterference:
    stored = weight.rows(states[model][weight.parameter])
    measured, expected, read = [], [], weight.index(model)
    later = list(itertools.pairwise(states))[model:]
    for k, (earlier, now) in enumerate(later, model + 1):
        update = weight.rows(now[weight.parameter] - earlier[weight.parameter])
        measured.append(_power(weight.contexts.retrieve(update, read), x))
        if weight.has_closed_form:
            as_seen = grouped(weight.contexts.retrieve(update, weight.index(k)))
            expected.append(pair_power(weight, as_seen, grouped(x), k - model))
    return LayerInterference(
        weight.name,
        _power(weight.contexts.retrieve(stored, read), x),
        tuple(measured),
        tuple(expected) if weight.has_closed_form else None,
    )


def _power(rows: Tensor, x: Tensor) -> float:
    """Return the power of the outputs, summed over the units and groups."""
    outputs = x.to(rows.dtype) @ rows.mT
    total = outputs.abs().square().sum(-1).mean(-1)
    return float(total.sum())
