"""Signal and noise of models stored in a network, layer by layer."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from analysis.networks._inputs import layer_inputs
from analysis.networks._weights import Weight, grouped, pair_power, products_of
from analysis.theory import expected_noise_power, squared_alignment
from psp_contexts import LocalMixContexts, PermutationContexts
from psp_nn import use_context

TOLERANCE = 1e-3
"""Largest difference between a stored weight and the sum of its models, relative to the weight."""


@dataclass(frozen=True)
class LayerRetrieval:
    """One superposed weight, read as one model, averaged over the inputs of that model.

    Attributes:
        name: Dotted name of the weight.
        signal: ‖W_s x‖², summed over the outputs.
        noise: ‖(Ŵ_s − W_s) x‖², measured.
        expected_noise: Its expectation over contexts, from the closed form; None where it is not
            known, as for learned contexts.
        squared_alignment: ρ², the share of the weight's power that the inputs use.
    """

    name: str
    signal: float
    noise: float
    expected_noise: float | None
    squared_alignment: float

    @property
    def snr(self) -> float:
        """Signal-to-noise ratio, measured."""
        return self.signal / self.noise if self.noise else float("inf")

    @property
    def expected_snr(self) -> float | None:
        """Signal-to-noise ratio of the expected noise."""
        if self.expected_noise is None:
            return None
        return self.signal / self.expected_noise if self.expected_noise else float("inf")


@torch.no_grad()
def network_retrieval(
    net: nn.Module,
    models: Sequence[nn.Module],
    samples: Tensor,
    *,
    read: int,
    max_rows: int = 1024,
    seed: int = 0,
) -> list[LayerRetrieval]:
    """Measure signal and noise of a model in a network, beside the closed form.

    With a base the signal is the model's difference from it: the base itself has no noise.

    Args:
        net: A superposition of `models` and of nothing else, as `superpose_models` returns it.
        models: Ordinary networks, model k in context k.
        samples: Input of model `read`. Its layers receive what they do in `net`, noise included.
        read: Index of the model that is read.
        max_rows: See `layer_inputs`.
        seed: See `layer_inputs`.

    Returns:
        One entry for each superposed weight.

    Raises:
        IndexError: If there is no such model.
        ValueError: If `net` holds something else than the models.

    Source:
        Cheung et al. 2019, appendix; the closed form is `analysis.theory.expected_noise_power`.

    Example:
        >>> import copy
        >>> import torch
        >>> from analysis.networks import network_retrieval
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import superpose_models
        >>> linear = torch.nn.Linear
        >>> base = torch.nn.Sequential(linear(64, 32), torch.nn.ReLU(), linear(32, 4))
        >>> models = [copy.deepcopy(base) for _ in range(4)]
        >>> for model in models:
        ...     for value in model.parameters():
        ...         _ = value.data.add_(0.1 * torch.randn_like(value))
        >>> together = superpose_models(models, family=BinaryContexts, seed=0, base=base)
        >>> layers = network_retrieval(together.net, models, torch.randn(100, 64), read=2)
        >>> [layer.name for layer in layers]
        ['0.weight', '2.weight']
        >>> all(0.5 < layer.noise / layer.expected_noise < 2 for layer in layers)
        True
    """
    if not 0 <= read < len(models):
        raise IndexError(f"read={read} is not one of the {len(models)} models.")
    with use_context(net, read):
        inputs = layer_inputs(net, samples, max_rows=max_rows, seed=seed)
        weights = products_of(net)
        return [_measure(weights[name], models, x, read) for name, x in inputs.items()]


def _measure(weight: Weight, models: Sequence[nn.Module], x: Tensor, read: int) -> LayerRetrieval:
    _check_sum(weight, models)
    added = torch.stack([_difference(weight, model) for model in models])
    value, base = getattr(weight.layer, weight.key), weight.layer.base(weight.key)
    retrieved = grouped(weight.rows(value if base is None else value - base.to(value)))
    own = grouped(weight.rows(added[read]))
    x = grouped(x).to(own.dtype)
    signal = noise = alignment = 0.0
    for rows, other, received in zip(own, retrieved, x, strict=True):
        target = received @ rows.mT
        signal += _power(target)
        noise += _power(received @ other.mT - target)
        alignment += float(squared_alignment(rows, received).mean()) / weight.groups
    return LayerRetrieval(weight.name, signal, noise, _expected(weight, added, x, read), alignment)


def _difference(weight: Weight, model: nn.Module) -> Tensor:
    """Return what a model adds to the superposition, before binding."""
    stored, base = weight.layer.stored(weight.key), weight.layer.base(weight.key)
    value = model.get_parameter(weight.parameter).detach().to(stored)
    return value if base is None else value - base.to(stored)


def _check_sum(weight: Weight, models: Sequence[nn.Module]) -> None:
    layer: Any = copy.deepcopy(weight.layer)
    scale = float(layer.stored(weight.key).norm())
    for context, model in enumerate(models):
        layer.add_to_model(weight.key, context, -_difference(weight, model))
    if float(layer.stored(weight.key).norm()) > TOLERANCE * scale:
        raise ValueError(
            f"network_retrieval: '{weight.name}' holds something else than the {len(models)} "
            "models, such as initial weights or what was trained in superposition; put the models "
            "together with superpose_models."
        )


def _expected(weight: Weight, models: Tensor, x: Tensor, read: int) -> float | None:
    """Return the expected noise power in model `read`, or None where no closed form is known.

    Args:
        weight: The weight.
        models: What the models add to the superposition, shape (K, *parameter.shape).
        x: Inputs, shape (groups, n, dim).
        read: Model that is read.
    """
    if not weight.has_closed_form:
        return None
    outputs = weight.layer.output_contexts_for(weight.key)
    if outputs is None:
        return _noise_power(weight, models, x, read)
    assert isinstance(outputs, PermutationContexts)
    # Permuted apart, the outputs of two models share only their mean over the units: means and
    # covariances add up between models in that part, and powers alone in the rest.
    mean = torch.stack([_mean_output(weight, model, outputs.block_size) for model in models])
    power = _noise_power(weight, mean, x, read)
    for k in range(len(models)):
        if k != read:
            power += pair_power(weight, grouped(weight.rows(models[k])), x, k - read)
            power -= pair_power(weight, grouped(weight.rows(mean[k])), x, k - read)
    return power


def _noise_power(weight: Weight, models: Tensor, x: Tensor, read: int) -> float:
    rows = torch.stack(
        [grouped(weight.rows(model)) for model in models], 1
    )  # (groups, K, out, dim)
    # The contexts of a group are as far apart as there are groups, which matters for LocalMix.
    apart = weight.groups if isinstance(weight.contexts, LocalMixContexts) else 1
    spread = rows.new_zeros(len(rows), rows.shape[1] * apart, *rows.shape[2:])
    spread[:, ::apart] = rows
    powers = (
        expected_noise_power(weight.contexts, models, received, read=read * apart).mean()
        for models, received in zip(spread, x, strict=True)
    )
    return sum(map(float, powers))


def _mean_output(weight: Weight, model: Tensor, block_size: int) -> Tensor:
    """Return a weight whose output units are the mean over those that they are permuted with."""
    units = weight.layer.to_outputs(weight.key, model).unflatten(-2, (-1, block_size))
    mean = units.mean(-3, keepdim=True).expand_as(units).flatten(-3, -2)
    return weight.layer.from_outputs(weight.key, mean)


def _power(outputs: Tensor) -> float:
    return float(outputs.abs().square().sum(-1).mean())
