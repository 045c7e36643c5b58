"""Storing a trained model in a superposition."""

import torch
from torch import Tensor, nn

from psp_nn._context_index import checked_layers, one_context
from psp_nn._model_values import (
    checked_values,
    compute_model_digest,
    dotted,
    superposed_parameters,
)
from psp_nn._use_context import use_context
from psp_nn.layers.layer import Layer
from psp_nn.layers.model_record import ModelRecord

LEAST_REMAINING = 0.5
"""Share of a superposition that replacing what is read must leave."""


@torch.no_grad()
def store(
    net: nn.Module,
    context: int | str | Tensor,
    model: nn.Module,
    *,
    replace: bool | nn.Module = False,
) -> None:
    """Put a trained model into a context: W += W_k C_k⁻¹ in every superposed layer.

    With a base, the model's difference from the base is added. What the superposition held
    before, its initial weights included, is noise to the new model, and the new model is noise to
    the others. Norms and biases per context are replaced by those of the model.

    A second model in the same context would read as the sum of both, so it is refused, unless
    `replace` says what it takes the place of:

    - The model that was stored there: W += (W_k − V_k) C_k⁻¹, V_k being its weights. The new
      model has the same noise as the old one. The others change by (W_k − V_k) C_k⁻¹ C_j, which
      is small for two versions of one model.
    - True for what is read there now, Ŵ_k, the noise included: W += (W_k − Ŵ_k) C_k⁻¹. The new
      model reads exactly. The others change by (W_k − Ŵ_k) C_k⁻¹ C_j, which is small only if
      the model was fine-tuned from what is read: `retrieve` it, train it and put it back, before
      another model is stored. Any other model would replace the whole superposition, W_k C_k⁻¹,
      and is refused.

    `store` does not know which contexts were trained in superposition. There, use `replace=True`.

    Args:
        net: The superposition, changed in place.
        context: Index or name under which the model is retrieved.
        model: An ordinary network with the parameters and buffers that `net` had before
            `superpose`, with the same ones tied.
        replace: The model that is replaced, or True for what is read in the context.

    Raises:
        IndexError, TypeError: As in `use_context`.
        ValueError: If the model has other names or shapes, its weights are not finite, or it
            differs from the network in a tensor that all models share; the context holds a model
            and nothing is to be replaced; or the model to be replaced is not the one that was
            stored there. Nothing changes then.

    Source:
        Cheung et al. 2019, equation 1.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import retrieve, store, superpose
        >>> empty = torch.nn.Linear(4, 2, bias=False).requires_grad_(False)
        >>> _ = empty.weight.zero_()
        >>> net = superpose(empty, family=BinaryContexts, num_contexts=50, seed=0, base=False)
        >>> first, second = (torch.nn.Linear(4, 2, bias=False) for _ in range(2))
        >>> store(net, 7, first)
        >>> store(net, 7, second, replace=first)
        >>> torch.allclose(retrieve(net, 7).weight, second.weight)
        True
    """
    layers = checked_layers("store", "net", net)
    k = one_context("store", layers, context)
    record = layers[0].superposition.models
    values = checked_values("store", net, model)
    if replace is True:
        _check_remaining(net, k, values)
        _fill(net, k, values)
        record.refined.add(k)
    else:
        old = _values_to_replace(net, k, replace, record)
        add_models(net, k, values, old)
        record.digests[k] = compute_model_digest(net, model)
    for path, layer in net.named_modules():
        if isinstance(layer, Layer):
            for name in layer.superposition.per_context:
                if dotted(path, name) in values:
                    layer.set_entry(name, k, values[dotted(path, name)])


def add_models(
    net: nn.Module,
    context: int,
    plus: dict[str, Tensor] | None,
    minus: dict[str, Tensor] | None,
) -> None:
    """Add the weights of one model to a context and subtract those of another; None is the base."""
    for layer, key, name in superposed_parameters(net):
        base = layer.base(key)
        zero = torch.zeros_like(layer.stored(key)) if base is None else base
        added = zero if plus is None else plus[name]
        layer.add_to_model(key, context, added - (zero if minus is None else minus[name]))


def _fill(net: nn.Module, context: int, values: dict[str, Tensor]) -> None:
    """Make a model the whole superposition: W + (W_k − W C_k) C_k⁻¹ = W_k C_k⁻¹."""
    for layer, key, _ in superposed_parameters(net):
        layer.stored(key).zero_()
    add_models(net, context, values, None)


def _values_to_replace(
    net: nn.Module, context: int, replace: bool | nn.Module, record: ModelRecord
) -> dict[str, Tensor] | None:
    """Return the weights that a new model replaces, or None if there are none.

    Raises:
        ValueError: If the context holds another model.
    """
    if isinstance(replace, nn.Module):
        old = checked_values("store", net, replace, check_shared=False)
        check_stored("store", net, context, replace, record)
        return old
    if record.holds(context):
        raise ValueError(
            f"store: context {context} holds a model, and both would read as their sum; pass that "
            "model as replace, or replace=True if the new one was fine-tuned from what is read "
            "there, or remove it first."
        )
    return None


def check_stored(
    caller: str, net: nn.Module, context: int, model: nn.Module, record: ModelRecord
) -> None:
    """Check that a context holds a model.

    Raises:
        ValueError: If no model was stored there, or another one.
    """
    if context not in record.digests:
        all_names = [f"'{parameter.name}'" for parameter in superposed_parameters(net)]
        names = ", ".join(all_names[:10]) + (", …" if len(all_names) > 10 else "")
        raise ValueError(
            f"{caller}: no model was stored in context {context}; what is trained in "
            f"superposition is in {names} together with all other models, and cannot be taken out."
        )
    if record.digests[context] != compute_model_digest(net, model):
        raise ValueError(
            f"{caller}: another model than this one was stored in context {context}; pass the "
            "same weights again."
        )


def _check_remaining(net: nn.Module, context: int, values: dict[str, Tensor]) -> None:
    """Check that a model contains most of what is read, all other models included.

    Replacing leaves W_k C_k⁻¹ of the superposition W. As C_k keeps inner products, ⟨W_k, W C_k⟩
    is the part of ‖W‖² that stays.

    Raises:
        ValueError: If less than half of the superposition remains.
    """
    remaining = whole = 0.0
    with use_context(net, context):
        for layer, key, name in superposed_parameters(net):
            base, read, value = layer.base(key), layer.retrieved(key), values[name]
            if base is not None:
                read, value = read - base, value - base
            remaining += float(torch.sum(read.conj() * value).real)
            whole += float(read.abs().square().sum())
    share = max(remaining, 0) / whole if whole else 1
    if share < LEAST_REMAINING:
        raise ValueError(
            f"store: replace=True would erase {1 - share:.0%} of the superposition, since the "
            f"model was not fine-tuned from what context {context} reads; retrieve that and train "
            "it, or pass the model that was stored there as replace."
        )
