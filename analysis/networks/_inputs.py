"""Inputs of the superposed weights of a network."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from analysis.networks._patches import sample, sample_patches
from analysis.networks._weights import PROJECTIONS, products_of
from psp_nn import Superposed, retrieve

Rows = dict[str, Tensor]
Calls = dict[Superposed, list[tuple[tuple[Any, ...], dict[str, Any]]]]


@torch.no_grad()
def layer_inputs(
    net: nn.Module, samples: Any, *, max_rows: int = 1024, seed: int = 0
) -> dict[str, Tensor]:
    """Return what every superposed weight of the model in use receives, before it is bound.

    A row is what one output unit multiplies at one place: the input of a linear layer, a patch of
    a convolution (with `per_channel`, the channels of one pixel), the query, key and value of an
    attention layer, the input or the hidden state of a recurrent layer. The packed projection of
    attention is three weights, such as `attn.in_proj_weight[query]`. An `Embedding` is left out:
    it receives indices, and no vectors.

    Args:
        net: What `superpose` returned, in evaluation mode if its norms or dropout shall be.
        samples: Input of the network, passed on to it.
        max_rows: Largest number of rows for each weight, drawn evenly from all.
        seed: Seed of that draw.

    Returns:
        By the dotted name of each weight, shape (n, dim); (groups, n, dim) for a convolution
        with groups. Weights that the network did not use are left out.

    Raises:
        NotImplementedError: If a recurrent layer has a projection (`proj_size`) or a packed
            sequence.
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
    try:
        with _without_fast_path():
            net(samples)
    finally:
        for hook in hooks:
            hook.remove()
    generator = torch.Generator().manual_seed(seed)
    received: dict[str, list[Tensor]] = {}
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
def _without_fast_path() -> Iterator[None]:
    """Let transformers call their layers without nested tensors, which have no rows."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


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
        return _recurrent_rows(layer, args, kwargs)
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


def _recurrent_rows(layer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Rows:
    """Run the inner layers one by one, which shows their hidden states."""
    x, state = (*args, *kwargs.values(), None)[:2]
    if layer.proj_size or not isinstance(x, Tensor):
        raise NotImplementedError(
            f"layer_inputs: layer '{layer.superposition.name}' has a projection or a packed "
            "sequence; only plain sequences are read."
        )
    plain = retrieve(layer, layer.superposition.selection.index)
    x = x if x.dim() == 3 else x.unsqueeze(0 if layer.batch_first else 1)
    x = x.transpose(0, 1) if layer.batch_first else x
    rows: Rows = {}
    for depth in range(layer.num_layers):
        outputs = []
        for direction in range(1 + layer.bidirectional):
            suffix = f"_l{depth}{'_reverse' * direction}"
            sequence = x.flip(0) if direction else x
            start = _start(state, depth * (1 + layer.bidirectional) + direction)
            output = _single(plain, suffix, sequence.shape[-1])(sequence, start)[0]
            hidden = start[0] if isinstance(start, tuple) else start
            first = torch.zeros_like(output[:1]) if hidden is None else hidden
            rows[f"weight_ih{suffix}"] = _flat(sequence)
            rows[f"weight_hh{suffix}"] = _flat(torch.cat([first, output[:-1]]))
            outputs.append(output.flip(0) if direction else output)
        x = torch.cat(outputs, -1)
    return rows


def _start(state: Any, index: int) -> Any:
    if state is None:
        return None
    if isinstance(state, tuple):
        return tuple(_start(part, index) for part in state)
    return (state if state.dim() == 3 else state.unsqueeze(1))[index : index + 1]


def _single(plain: Any, suffix: str, size: int) -> Any:
    """Return one inner layer and direction of a recurrent layer."""
    options = {"nonlinearity": plain.nonlinearity} if type(plain) is nn.RNN else {}
    single = type(plain)(size, plain.hidden_size, bias=plain.bias, **options)
    for kind in ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if plain.bias else ())):
        single.get_parameter(f"{kind}_l0").copy_(plain.get_parameter(kind + suffix))
    return single.to(plain.get_parameter("weight_ih_l0"))
