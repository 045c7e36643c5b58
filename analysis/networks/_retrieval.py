"""Signal and noise of models stored in a network, layer by layer."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from analysis.networks._inputs import layer_inputs
from analysis.networks._weights import Weight, weights_of
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
        expected_noise: Its expectation over contexts, from the closed form.
        squared_alignment: ρ², the share of the weight's power that the inputs use.
    """

    name: str
    signal: float
    noise: float
    expected_noise: float
    squared_alignment: float

    @property
    def snr(self) -> float:
        """Signal-to-noise ratio, measured."""
        return self.signal / self.noise if self.noise else float("inf")

    @property
    def expected_snr(self) -> float:
        """Signal-to-noise ratio of the expected noise."""
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
        NotImplementedError: If no closed form is known: learned contexts; a biased family
            (Permutation, LocalMix) with contexts on both sides, or LocalMix with groups.
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
        weights = weights_of(net)
        return [_measure(weights[name], models, x, read) for name, x in inputs.items()]


def _measure(weight: Weight, models: Sequence[nn.Module], x: Tensor, read: int) -> LayerRetrieval:
    _check_sum(weight, models)
    stored = torch.stack([weight.rows(_difference(weight, model)) for model in models])
    value, base = getattr(weight.layer, weight.key), weight.layer.base(weight.key)
    retrieved = weight.rows(value if base is None else value - base.to(value))
    if weight.groups == 1:
        stored, retrieved, x = stored.unsqueeze(1), retrieved.unsqueeze(0), x.unsqueeze(0)
    signal = noise = expected = alignment = 0.0
    for group in range(weight.groups):
        rows, received = stored[:, group], x[group].to(stored.dtype)
        target = received @ rows[read].mT
        signal += _power(target)
        noise += _power(received @ retrieved[group].mT - target)
        expected += _expected(weight, rows, received, read)
        alignment += float(squared_alignment(rows[read], received).mean()) / weight.groups
    return LayerRetrieval(weight.name, signal, noise, expected, alignment)


def _difference(weight: Weight, model: nn.Module) -> Tensor:
    """Return what a model adds to the superposition, before binding."""
    stored, base = weight.layer.stored(weight.key), weight.layer.base(weight.key)
    value = model.get_parameter(weight.name).detach().to(stored)
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


def _expected(weight: Weight, rows: Tensor, x: Tensor, read: int) -> float:
    contexts = weight.contexts
    if weight.groups > 1 and isinstance(contexts, LocalMixContexts):
        raise NotImplementedError(
            f"network_retrieval: '{weight.name}' has groups, for which the noise of LocalMix is "
            "not known."
        )
    if weight.layer.output_contexts_for(weight.key) is None:
        return float(expected_noise_power(contexts, rows, x, read=read).mean())
    if type(contexts) in (PermutationContexts, LocalMixContexts):
        raise NotImplementedError(
            f"network_retrieval: the noise of {type(contexts).__name__} with contexts on both "
            f"sides is not known, as in '{weight.name}'; superpose with two_sided=False."
        )
    # Permuting the outputs keeps their power, and unbiased models add up in power anyway.
    return float(expected_noise_power(contexts, rows, x, read=read).mean())


def _power(outputs: Tensor) -> float:
    return float(outputs.abs().square().sum(-1).mean())
