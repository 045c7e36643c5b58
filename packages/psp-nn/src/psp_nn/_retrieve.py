"""Retrieving one model as an ordinary network."""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from psp_nn._context_index import checked_layers, one_context, superposed_layers
from psp_nn._eval_mode import eval_mode
from psp_nn._restore import plain_class, set_class, strip_superposition
from psp_nn._to_real import make_real
from psp_nn._use_context import use_context
from psp_nn.layers.batch_norm import Frozen
from psp_nn.layers.layer import Layer

Net = TypeVar("Net", bound=nn.Module)


def retrieve(net: Net, context: int | str | Tensor | None, *, example: Tensor | None = None) -> Net:
    """Return model `context` as a network of the original classes, without any superposition.

    Every weight is W C_k, and every other tensor the model's own or the shared one. The weights
    contain the other models as noise, just as they do in the forward pass.

    A complex network becomes a real one of twice the width, in which [Re z, Im z] stands for z.

    Args:
        net: A superposed network. It does not change.
        context: Index or name of the model, or None for the base.
        example: An input, required for complex networks. It shows which layers take real input,
            and checks that the real network computes the same.

    Returns:
        A network that computes what `net` computes with that context selected.

    Raises:
        IndexError, TypeError: As in `use_context`.
        ValueError: If nothing in `net` is superposed; or it is complex, and there is no example,
            or no real network of these classes that computes the same.

    Source:
        Cheung et al. 2019, equation 2.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import retrieve, superpose, use_context
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
        >>> net = superpose(net, family=BinaryContexts, num_contexts=50, seed=0, base=False)
        >>> model = retrieve(net, 7)
        >>> model
        Sequential(
          (0): Linear(in_features=4, out_features=3, bias=True)
          (1): ReLU()
        )
        >>> x, _ = torch.randn(2, 4), use_context(net, 7)
        >>> torch.allclose(model(x), net(x), atol=1e-6)
        True
    """
    layers = checked_layers("retrieve", "net", net)
    if context is not None:
        context = one_context("retrieve", layers, context)
    model = copy.deepcopy(net)
    use_context(model, context)
    layers = superposed_layers(model)
    if any(map(_is_complex, layers)):
        if example is None or not example.numel():
            raise ValueError("retrieve: this network is complex; pass an input as example.")
        with eval_mode(model):
            make_real(model, example)
        return model
    for module in model.modules():  # superpose has put one there that refuses
        module.__dict__.pop("save_pretrained", None)
    retrieved: dict[int, nn.Parameter] = {}
    for layer in layers:
        _retrieve_layer(layer, retrieved)
    for module in model.modules():
        if isinstance(module, Frozen):
            set_class(module, plain_class(type(module)))
    return model


def _is_complex(layer: Layer) -> bool:
    return any(layer.contexts_for(name).is_complex for name in layer.superposition.superposed)


@torch.no_grad()
def _retrieve_layer(layer: Layer, retrieved: dict[int, nn.Parameter]) -> None:
    """Convert a layer in place. `retrieved` maps stored parameters to those of the model."""
    values: dict[str, Tensor | None] = {
        name: layer.retrieved(name) for name in layer.superposition.superposed
    }
    for name in layer.superposition.per_context:
        values[name] = layer.entry(name)
    for name, value in values.items():
        assert value is not None
        stored = layer._parameters.get(name)
        if stored is None:
            layer._buffers[name] = value.clone()
            continue
        if id(stored) not in retrieved:  # tied parameters stay tied
            retrieved[id(stored)] = nn.Parameter(value.clone(), stored.requires_grad)
        layer._parameters[name] = retrieved[id(stored)]
    strip_superposition(layer)
