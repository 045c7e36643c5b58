"""Removing a stored model from a superposition."""

import torch
from torch import Tensor, nn

from psp_nn._context_index import checked_layers, one_context
from psp_nn._model_values import checked_values, dotted, superposed_parameters, tensors_of
from psp_nn._store import add_models, check_stored
from psp_nn.layers.layer import Layer
from psp_nn.layers.superposed import base_name


@torch.no_grad()
def remove(net: nn.Module, context: int | str | Tensor, model: nn.Module) -> tuple[str, ...]:
    """Take out the model that `store` put into a context: W −= W_k C_k⁻¹.

    The superposition keeps no copy of a model, so that its weights must be passed once more; a
    digest tells whether they are the right ones. With a base, the context then reads as the base
    plus the noise of the other models, and the model is noise to none of them. What is left of it
    is the rounding error of the sums, about 1e-7 of the superposition in float32.

    Only what was stored can be taken out. What was trained in superposition is in the same
    weights as all other models, and stays in them as noise.

    With a base, norms and biases per context start again as those of the base. Without one they
    stay until another model is stored in the context. The name of the context is free again.

    Args:
        net: The superposition, changed in place.
        context: Index or name of the model.
        model: The model, as it was given to `store`.

    Returns:
        Names of the tensors that keep something of the model: all superposed weights, if the
        model was fine-tuned from what was read and put back with `replace=True`; norms and biases
        per context, if there is no base.

    Raises:
        IndexError, TypeError: As in `use_context`.
        ValueError: If no model was stored in the context, or another one; nothing changes then.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import remove, store, superpose
        >>> layer = torch.nn.Linear(4, 2, bias=False)
        >>> net = superpose(layer, family=BinaryContexts, num_contexts=50, seed=0, base=False)
        >>> model, before = torch.nn.Linear(4, 2, bias=False), net.stored().clone()
        >>> store(net, 7, model)
        >>> remove(net, 7, model)
        ()
        >>> torch.allclose(net.stored(), before, atol=1e-6)
        True
    """
    layers = checked_layers("remove", "net", net)
    k = one_context("remove", layers, context)
    record = layers[0].superposition.models
    values = checked_values("remove", net, model, check_shared=False)
    check_stored("remove", net, k, model, record)
    left = [p.name for p in superposed_parameters(net)] if k in record.refined else []
    add_models(net, k, None, values)
    for path, layer in net.named_modules():
        if not isinstance(layer, Layer):
            continue
        for name in layer.superposition.per_context:
            base = layer._buffers.get(base_name(name))
            if base is None:
                left.append(dotted(path, name))
            else:
                tensors_of(layer)[name][k].copy_(base)
        layer.select(layer.superposition.selection)
    record.forget(k)
    return tuple(left)
