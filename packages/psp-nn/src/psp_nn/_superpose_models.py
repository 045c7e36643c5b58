"""Superposing models that were trained apart."""

import warnings
from collections.abc import Callable, Iterable
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from psp_contexts import Contexts
from psp_nn._arguments import check_net, checked_integer, several
from psp_nn._store import dotted, store
from psp_nn._superpose import superpose
from psp_nn._use_context import superposed_layers, use_context
from psp_nn.layers.layer import Layer
from psp_nn.layers.superposed import base_name

Net = TypeVar("Net", bound=nn.Module)


class SuperposedModels(NamedTuple, Generic[Net]):
    """What `superpose_models` returns.

    Attributes:
        net: The superposition; model k is read with context k.
        snr: For each model, the energy of its superposed weights, ‖W_k‖², over that of the noise
            in them as they are read back, ‖Ŵ_k − W_k‖².
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
    """Models trained apart, in one set of weights, and how well each can be read back.

    With a base, model k is read as base + Σ_j (W_j − base) C_j⁻¹ C_k: what is superposed, and what
    is noise to the others, are the small differences from what the models have in common. The
    base is kept, once for all models.

    Without a base whole weights are superposed, and full weights trained apart drown each other:
    for generic weights and inputs the SNR is 1/(K−1), whatever the width and the family.

    Args:
        models: Networks of one architecture, K of them.
        family: The family; see `superpose`.
        seed: Of the contexts.
        base: The network that the models were trained from.
        num_contexts: How many models there is room for; by default as many as there are.
        **options: `include`, `exclude`, `norms` and `per_channel`, as for `superpose`. Each model
            keeps its own biases.

    Returns:
        The superposition, and each model's SNR.

    Raises:
        TypeError: If an argument is of another kind.
        ValueError: If there is no model, or no room for all, the contexts are complex, or the
            models differ in names, in shapes or in what they would share.

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
    nets = _checked(models)
    if base is not None:
        check_net("base", base)
    others = sorted(set(options) - _OPTIONS)
    if others:
        raise TypeError(
            f"superpose_models takes no {', '.join(others)}, but {', '.join(sorted(_OPTIONS))}: "
            "the models keep their own biases, and their weights as they are."
        )
    if num_contexts is not None:
        num_contexts = checked_integer("num_contexts", num_contexts, len(nets))
    if base is None and len(nets) > 1:
        warnings.warn(
            f"superpose_models: {len(nets)} whole models are superposed without a base; for "
            f"weights trained apart the signal-to-noise ratio is about 1/(K-1) = "
            f"1/{len(nets) - 1}, whatever the width and the family. Pass the network that they "
            "were trained from as base, or train them in superposition.",
            stacklevel=2,
        )
    net = superpose(
        nets[0] if base is None else base,
        family=family,
        num_contexts=len(nets) if num_contexts is None else num_contexts,
        seed=seed,
        bias_per_context=True,
        random_phases=False,
        **options,
    )
    bases: dict[int, Tensor] = {}  # by the weight: tied ones have one, from before they are zero
    with torch.no_grad():
        for layer in superposed_layers(net):
            for name in layer.superposition.superposed:
                if layer.contexts_for(name).is_complex:
                    raise ValueError(
                        f"superpose_models: family={family!r} are complex, but ordinary "
                        "models are real; use a real family."
                    )
                weight = layer.stored(name)
                if base is not None:
                    if id(weight) not in bases:
                        bases[id(weight)] = weight.detach().clone()
                    layer.register_buffer(base_name(name), bases[id(weight)])
                weight.zero_()
    for k, model in enumerate(nets):
        try:
            store(net, k, model)
        except ValueError as error:
            like = "models[0]" if base is None else "base"
            raise ValueError(
                f"superpose_models: models[{k}] does not fit {like}: {error}"
            ) from error
    return SuperposedModels(net, tuple(_snr(net, k, model) for k, model in enumerate(nets)))


_OPTIONS = {"include", "exclude", "norms", "per_channel"}


def _checked(models: Iterable[Net]) -> list[Net]:
    """The models in a list, which there must be."""
    if isinstance(models, nn.Sequential):  # one network, though it has several
        raise TypeError("models must be several networks, but is one Sequential; pass a list.")
    nets = list(several("models", models, "several networks"))
    if not nets:
        raise ValueError("superpose_models got no models; pass one or more.")
    for k, model in enumerate(nets):
        check_net(f"models[{k}]", model)
    return nets


@torch.no_grad()
def _snr(net: nn.Module, context: int, model: nn.Module) -> float:
    signal = noise = 0.0
    with use_context(net, context):
        for path, layer in net.named_modules():
            if not isinstance(layer, Layer):
                continue
            for name in layer.superposition.superposed:
                weight = model.get_parameter(dotted(path, name))
                read = getattr(layer, name)
                signal += float(weight.double().square().sum())
                noise += float((read.double() - weight.double()).square().sum())
    return signal / noise if noise else float("inf")
