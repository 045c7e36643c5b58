"""Superposing models that were trained separately."""

import warnings
from collections.abc import Callable, Iterable
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import nn

from psp_contexts import Contexts
from psp_nn._context_index import superposed_layers
from psp_nn._model_values import dotted
from psp_nn._store import store
from psp_nn._superpose import superpose
from psp_nn._use_context import use_context
from psp_nn.layers.layer import Layer

Net = TypeVar("Net", bound=nn.Module)


class SuperposedModels(NamedTuple, Generic[Net]):
    """Result of `superpose_models`.

    Attributes:
        net: The superposition. Context k selects model k.
        snr: Signal-to-noise ratio of each model, ‖W_k‖² / ‖Ŵ_k − W_k‖², where W_k are its
            superposed weights and Ŵ_k the same weights as retrieved.
    """

    net: Net
    snr: tuple[float, ...]


def superpose_models(
    models: Iterable[Net],
    *,
    family: Callable[..., Contexts],
    seed: int,
    base: Net | None = None,
    num_contexts: int | None = None,
    **options: Any,
) -> SuperposedModels[Net]:
    """Store models that were trained separately in one set of weights, and measure their SNR.

    With a base this is `superpose(base, base=True, …)`, and a `store` for each model. Only the
    small differences from the base are superposed, and are noise to each other. The base is kept
    once for all models.

    Without a base, whole weights are superposed, and models trained separately drown each other:
    for generic weights and inputs the SNR is 1/(K−1), whatever the width and the family.

    Args:
        models: K networks of one architecture.
        family: The family of the contexts; see `superpose`.
        seed: Seed of the contexts.
        base: The network that the models were fine-tuned from.
        num_contexts: Number of models to make room for; the number of models by default.
        **options: `include`, `exclude`, `own`, `norms`, `per_channel` and, with a base,
            `two_sided`, `base_dtype` and `share_base`, as in `superpose`. Each model keeps its
            own biases.

    Returns:
        The superposition, and the SNR of each model.

    Raises:
        IndexError: If `num_contexts` is smaller than the number of models.
        TypeError: If `models` is a single `Sequential`.
        ValueError: If there are no models, the contexts are complex, or the models differ in
            names, shapes, or tensors that would be shared.

    Source:
        Cheung et al. 2019, equations 1 and 2; the SNR is derived in this project's analysis.

    Example:
        >>> import copy
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import superpose_models
        >>> base = torch.nn.Linear(64, 10)
        >>> models = [copy.deepcopy(base) for _ in range(3)]
        >>> for model in models:
        ...     _ = model.weight.data.add_(0.01 * torch.randn(10, 64))
        >>> together = superpose_models(models, family=BinaryContexts, seed=0, base=base)
        >>> min(together.snr) > 10
        True
    """
    if isinstance(models, nn.Sequential):  # iterating it would yield its layers
        raise TypeError("models is a single Sequential; pass a list of networks.")
    models = list(models)
    if not models:
        raise ValueError("superpose_models got no models; pass at least one.")
    if base is None and len(models) > 1:
        warnings.warn(
            f"superpose_models: {len(models)} whole models are superposed without a base; for "
            f"weights trained separately the signal-to-noise ratio is about 1/(K-1) = "
            f"1/{len(models) - 1}, whatever the width and the family. Pass the network that they "
            "were fine-tuned from as base, or train them in superposition.",
            stacklevel=2,
        )
    net = superpose(
        models[0] if base is None else base,
        family=family,
        num_contexts=len(models) if num_contexts is None else num_contexts,
        seed=seed,
        bias_per_context=True,
        base=base is not None,
        random_phases=False,
        **options,
    )
    _check_real(net)
    if base is None:
        _clear_weights(net)
    for k, model in enumerate(models):
        try:
            store(net, k, model)
        except ValueError as error:
            reference = "models[0]" if base is None else "base"
            raise ValueError(f"models[{k}] does not fit {reference}: {error}") from error
    return SuperposedModels(net, tuple(_snr(net, k, model) for k, model in enumerate(models)))


def _check_real(net: nn.Module) -> None:
    for layer in superposed_layers(net):
        for name in layer.superposition.superposed:
            if layer.contexts_for(name).is_complex:
                raise ValueError("superpose_models: models are real, but the family is complex.")


@torch.no_grad()
def _clear_weights(net: nn.Module) -> None:
    for layer in superposed_layers(net):
        for name in layer.superposition.superposed:
            layer.stored(name).zero_()


@torch.no_grad()
def _snr(net: nn.Module, context: int, model: nn.Module) -> float:
    signal = noise = 0.0
    with use_context(net, context):
        for path, layer in net.named_modules():
            if not isinstance(layer, Layer):
                continue
            for name in layer.superposition.superposed:
                weight = model.get_parameter(dotted(path, name)).double()
                retrieved = getattr(layer, name).double()
                signal += float(weight.square().sum())
                noise += float((retrieved - weight).square().sum())
    return signal / noise if noise else float("inf")
