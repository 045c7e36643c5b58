"""Inputs of the superposed weights of a network."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from analysis.networks._patches import sample, sample_patches
from analysis.networks._recurrent import Rows, recurrent_rows
from analysis.networks._weights import PROJECTIONS, products_of
from psp_nn import Superposed, retrieve

Calls = dict[Superposed, list[tuple[tuple[Any, ...], dict[str, Any]]]]


@torch.no_grad()
def layer_inputs(
    net: nn.Module, samples: Any, *, max_rows: int = 1024, seed: int = 0
) -> dict[str, Tensor]:
    """Return what every superposed weight of the model in use receives, before it is bound.

    A row is what one output unit multiplies at one place: the input of a linear layer, a patch of
    a convolution (with `per_channel`, the channels of one pixel), the query, key and value of an
    attention layer, the input or the state of a recurrent layer, packed sequences included. The
    packed projection of attention is three weights, such as `attn.in_proj_weight[query]`. An
    `Embedding` is left out: it receives indices, and no vectors.

    Args:
        net: What `superpose` returned. It runs in evaluation mode, so that its norms stay as they
            are, and is put back into its own.
        samples: Input of the network, passed on to it.
        max_rows: Largest number of rows for each weight, drawn evenly from all.
        seed: Seed of that draw.

    Returns:
        By the dotted name of each weight, shape (n, dim); (groups, n, dim) for a convolution
        with groups. Weights that the network did not use are left out.

    Raises:
        ValueError: If nothing in `net` is superposed, or the selection mixes models.

    Example:
        >>> import torch
        >>> from analysis.networks import layer_inputs
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import superpose
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Flatten(), torch.nn.ReLU())
        >>> net = superpose(net, family=BinaryContexts, num_contexts=5, seed=0, base=True)
        >>> layer_inputs(net, torch.randn(2, 3, 8, 8))["0.weight"].shape
        torch.Size([72, 27])
    """
    weights, calls = products_of(net), Calls()
    # A tied weight has one name, and receives what all of its layers do.
    names = {
        (id(weight.layer.stored(weight.key)), weight.part): name for name, weight in weights.items()
    }

    def record(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        assert isinstance(layer, Superposed)
        calls.setdefault(layer, []).append((args, kwargs))

    layers = [module for module in net.modules() if isinstance(module, Superposed)]
    hooks = [layer.register_forward_pre_hook(record, with_kwargs=True) for layer in layers]
    generator = torch.Generator().manual_seed(seed)
    received: dict[str, list[Tensor]] = {}
    with _evaluating(net):
        try:
            net(samples)
        finally:
            for hook in hooks:
                hook.remove()
        for layer in layers:
            for args, kwargs in calls.get(layer, ()):
                for key, rows in _rows_of(layer, args, kwargs, max_rows, generator).items():
                    product = _product(layer, key)
                    if product in names:
                        received.setdefault(names[product], []).append(rows)
    return {
        name: _drawn(torch.cat(received[name], -2), max_rows, generator)
        for name in weights
        if name in received
    }


def _product(layer: Superposed, key: str) -> tuple[int, int | None] | None:
    """Return the id of a weight and its third, by a key of `_rows_of`; None if not superposed."""
    key, _, part = key.partition("[")
    owner, _, key = key.rpartition(".")  # the output projection of attention
    holder = layer.get_submodule(owner)
    if not isinstance(holder, Superposed):
        return None
    return id(holder.stored(key)), PROJECTIONS.index(part[:-1]) if part else None


@contextmanager
def _evaluating(net: nn.Module) -> Iterator[None]:
    """Put `net` into evaluation mode, where its transformers call their layers on plain tensors.

    Nested tensors, which they would pass on by their fast path, have no rows.
    """
    training = [module for module in net.modules() if module.training]
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    net.eval()
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
        for module in training:  # net.train() would also change modules that were evaluating
            module.training = True


def _drawn(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    return rows.index_select(-2, sample(rows.shape[-2], count, generator).to(rows.device))


def _rows_of(
    layer: Superposed,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    max_rows: int,
    generator: torch.Generator,
) -> Rows:
    """Return the rows that one call of a layer gives each of its weights."""
    plain: Any = layer
    if isinstance(layer, nn.MultiheadAttention):
        return _attention_rows(layer, args, kwargs)
    if isinstance(layer, nn.RNNBase):
        return recurrent_rows(layer, args, kwargs)
    (x, *others) = (*args, *kwargs.values())
    if isinstance(layer, nn.RNNCellBase):
        state = others[0] if others else None
        hidden = state[0] if isinstance(state, tuple) else state
        if hidden is None:
            hidden = x.new_zeros(*x.shape[:-1], plain.hidden_size)
        return {"weight_ih": _flat(x), "weight_hh": _flat(hidden)}
    if isinstance(layer, nn.modules.conv._ConvNd):
        return {"weight": sample_patches(layer, x, max_rows=max_rows, generator=generator)}
    return {"weight": _flat(x)}


def _flat(x: Tensor) -> Tensor:
    return x.reshape(-1, x.shape[-1])


def _attention_rows(layer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Rows:
    plain = retrieve(layer, layer.superposition.selection.index)
    # The rows of the output projection are the output of the layer without it.
    plain.out_proj.weight.copy_(torch.eye(plain.embed_dim))
    if plain.out_proj.bias is not None:
        plain.out_proj.bias.zero_()
    heads = plain(*args, **{**kwargs, "need_weights": False})[0]
    given = {**dict(zip(("query", "key", "value"), args, strict=False)), **kwargs}
    query, key, value = (_flat(given[name]) for name in ("query", "key", "value"))
    rows = {"out_proj.weight": _flat(heads)}
    if layer._qkv_same_embed_dim:
        parts = zip(PROJECTIONS, (query, key, value), strict=True)
        return rows | {f"in_proj_weight[{name}]": part for name, part in parts}
    return rows | {"q_proj_weight": query, "k_proj_weight": key, "v_proj_weight": value}
