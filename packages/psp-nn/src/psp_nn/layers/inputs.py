"""What goes into a superposed layer: refused where the plain layer refuses it, or should.

Contexts are multiplied with inputs, which broadcasts and promotes what a product with a weight
would not; and torch multiplies with a weight that has no data without a word.
"""

from typing import Any

import torch
from torch import Tensor

from psp_nn.layers.layer import Layer

_COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}
"""Of complex weights the dtype, by that of a real input, which they take, too."""


_INTEGERS = (torch.int64, torch.int32)


def check_features(layer: Layer, x: Any, weight: Tensor, features: int) -> None:
    """Refuse what is not a tensor (…, features) for the layer's weight, as it is stored.

    Raises:
        TypeError: If it is no tensor, or of another dtype.
        ValueError: If it is of another shape, or on another device.
    """
    if not (  # every forward pass comes here
        isinstance(x, Tensor)
        and (x.dtype == weight.dtype or _COMPLEX.get(x.dtype) == weight.dtype)
        and x.device == weight.device
        and x.dim()
        and x.shape[-1] == features
    ):
        _check(layer, "input x", x, weight, features, -1)


def check_channels(layer: Layer, x: Any, weight: Tensor, channels: int) -> None:
    """Refuse what is not a tensor (batch, channels, …), or (channels, …), for the layer's kernel.

    Raises:
        TypeError, ValueError: As for `check_features`.
    """
    if not (
        isinstance(x, Tensor)
        and (x.dtype == weight.dtype or _COMPLEX.get(x.dtype) == weight.dtype)
        and x.device == weight.device
        and weight.dim() - 1 <= x.dim() <= weight.dim()
        and x.shape[1 - weight.dim()] == channels
    ):
        dims = (weight.dim() - 1, weight.dim())
        _check(layer, "input x", x, weight, channels, 1 - weight.dim(), dims)


def check_indices(layer: Layer, x: Any, weight: Tensor) -> None:
    """Refuse what is not a tensor of integers on the device of the layer's weight.

    Raises:
        TypeError: If it is no tensor of integers.
        ValueError: If it is on another device.
    """
    if isinstance(x, Tensor) and x.dtype in _INTEGERS and x.device == weight.device:
        return
    _check_tensor(layer, "input x", x)
    _check_device(layer, "input x", x, weight)
    raise TypeError(
        f"layer '{layer.superposition.name}' looks up vectors by their indices, but its input x is "
        f"{x.dtype}; pass a LongTensor."
    )


def check_attention(
    layer: Layer,
    query: Any,
    key: Any,
    value: Any,
    key_padding_mask: Any,
    attn_mask: Any,
    is_causal: bool,
) -> None:
    """Refuse inputs and masks of attention that do not fit the layer or each other.

    The arguments are those of `torch.nn.MultiheadAttention`.

    Raises:
        TypeError, ValueError: As for `check_features`.
    """
    own: Any = layer
    weight = layer.stored("in_proj_weight" if own._qkv_same_embed_dim else "q_proj_weight")
    if isinstance(query, Tensor) and query.is_nested:
        return  # torch makes these itself, and they have no shape to look at
    inputs = {"query": (query, own.embed_dim)}
    if not (query is key is value and own._qkv_same_embed_dim):
        inputs |= {"key": (key, own.kdim), "value": (value, own.vdim)}
    for name, (x, features) in inputs.items():
        _check(layer, name, x, weight, features, -1, (2, 3))
    if len(inputs) == 1 and key_padding_mask is None and attn_mask is None and not is_causal:
        return  # self-attention, of which there is most
    for name, mask in (("key_padding_mask", key_padding_mask), ("attn_mask", attn_mask)):
        if mask is None:
            continue
        _check_tensor(layer, name, mask)
        _check_device(layer, name, mask, weight)
        if mask.dtype != torch.bool and not mask.is_floating_point():
            raise TypeError(f"{name} must be boolean or floating, but is {mask.dtype}.")
    if is_causal and attn_mask is None:
        raise ValueError("is_causal says that attn_mask is causal, but that is None; pass it.")
    batched = query.dim() == 3
    along = 1 if batched and own.batch_first else 0  # which dimension the positions have
    (batch,) = query.shape[1 - along : 2 - along] if batched else (1,)
    targets, sources = query.shape[along], key.shape[along]
    for name, (x, features) in inputs.items():
        sizes = [targets if name == "query" else sources, features]
        if batched:
            sizes.insert(1 - along, batch)
        _check_shape(layer, name, x, tuple(sizes))
    if key_padding_mask is not None:
        wanted = (batch, sources) if batched else (sources,)
        _check_shape(layer, "key_padding_mask", key_padding_mask, wanted)
    if attn_mask is not None:
        each_head = (batch * own.num_heads,) if attn_mask.dim() == 3 else ()
        _check_shape(layer, "attn_mask", attn_mask, (*each_head, targets, sources))


def _check(
    layer: Layer,
    name: str,
    x: Any,
    weight: Tensor,
    features: int,
    dim: int,
    dims: tuple[int, ...] | None = None,
) -> None:
    _check_tensor(layer, name, x)
    _check_device(layer, name, x, weight)
    fits = x.dtype == weight.dtype or _COMPLEX.get(x.dtype) == weight.dtype
    if not fits and not torch.is_autocast_enabled(x.device.type):
        raise TypeError(
            f"layer '{layer.superposition.name}' has weights of {weight.dtype}, but its {name} is "
            f"{x.dtype}; convert one of them, for example with .to({weight.real.dtype})."
        )
    many = (x.dim() in dims) if dims else x.dim() > 0
    if not many or x.shape[dim] != features:
        where = {-1: "the last dimension"}.get(dim, f"dimension {dim}, before the positions")
        count = f" of {' or '.join(map(str, dims))} dimensions" if dims else ""
        raise ValueError(
            f"layer '{layer.superposition.name}' takes tensors{count} with {features} numbers along "
            f"{where}, but its {name} has shape {tuple(x.shape)}."
        )


def _check_shape(layer: Layer, name: str, x: Tensor, shape: tuple[int, ...]) -> None:
    if x.shape != shape:
        raise ValueError(
            f"layer '{layer.superposition.name}' needs {name} of shape {tuple(shape)} to go with its query "
            f"and key, but it has {tuple(x.shape)}."
        )


def _check_tensor(layer: Layer, name: str, x: Any) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(
            f"layer '{layer.superposition.name}' needs a Tensor as its {name}, but got a "
            f"{type(x).__name__}."
        )


def _check_device(layer: Layer, name: str, x: Tensor, weight: Tensor) -> None:
    if x.device != weight.device:
        raise ValueError(
            f"layer '{layer.superposition.name}' is on {weight.device}, but its {name} on {x.device}; "
            "move one of them."
        )
