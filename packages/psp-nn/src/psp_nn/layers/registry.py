"""Layer classes that have a superposed form."""

import functools
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from psp_nn.layers import batch_norm, convolution, norm, recurrent
from psp_nn.layers.attention import SuperposedMultiheadAttention
from psp_nn.layers.embedding import SuperposedEmbedding
from psp_nn.layers.layer import Layer
from psp_nn.layers.linear import SuperposedLinear
from psp_nn.layers.registered import (
    RegisteredGatedNorm,
    is_vector_norm,
    norm_form,
    registered_class,
)

KINDS: tuple[tuple[type[nn.Module], type[Layer]], ...] = (
    (nn.Linear, SuperposedLinear),
    (nn.Conv1d, convolution.SuperposedConv1d),
    (nn.Conv2d, convolution.SuperposedConv2d),
    (nn.Conv3d, convolution.SuperposedConv3d),
    (nn.ConvTranspose1d, convolution.SuperposedConvTranspose1d),
    (nn.ConvTranspose2d, convolution.SuperposedConvTranspose2d),
    (nn.ConvTranspose3d, convolution.SuperposedConvTranspose3d),
    (nn.MultiheadAttention, SuperposedMultiheadAttention),
    (nn.Embedding, SuperposedEmbedding),
    (nn.RNN, recurrent.SuperposedRNN),
    (nn.LSTM, recurrent.SuperposedLSTM),
    (nn.GRU, recurrent.SuperposedGRU),
    (nn.RNNCell, recurrent.SuperposedRNNCell),
    (nn.LSTMCell, recurrent.SuperposedLSTMCell),
    (nn.GRUCell, recurrent.SuperposedGRUCell),
    (nn.modules.batchnorm._BatchNorm, batch_norm.SuperposedBatchNorm),
    (nn.modules.instancenorm._InstanceNorm, batch_norm.SuperposedInstanceNorm),
    (nn.GroupNorm, norm.SuperposedGroupNorm),
    (nn.LayerNorm, norm.SuperposedLayerNorm),
    (nn.RMSNorm, norm.SuperposedRMSNorm),
)
"""Layer classes of torch, each with the class of its superposed form."""

_registered: dict[type[nn.Module] | str, type[Layer]] = {}
_subclasses: dict[tuple[type[nn.Module], type[Layer]], type[Layer]] = {}


def register(
    kind: type[nn.Module] | str,
    *,
    weight: str | Iterable[str] = "weight",
    in_dim: int = -1,
    bias: str | Iterable[str] = "bias",
) -> None:
    """State what `superpose` superposes in layers of a class that it does not know.

    The layer keeps its own `forward`, which reads the weights of the model in use. A batch that
    mixes contexts runs the network once for each context that occurs.

    Known from the start are the layers of torch, `Conv1D` and the experts of transformers, the
    `Linear` of torch_geometric, and all norm layers whose only parameters are a vector `weight`
    and perhaps a `bias`, such as the RMSNorms of transformers and timm.

    Args:
        kind: A class, whose subclasses are included, or its dotted name, so that its module need
            not be imported. A name may be a pattern, as for `fnmatch`.
        weight: Name or names of the parameters to superpose, each with two or more dimensions.
        in_dim: Dimension of these parameters that is multiplied with the input: -1 for the
            weight of a `Linear`, (out, in), 0 for one of shape (in, out), 1 for experts of shape
            (experts, in, out). All other dimensions count as outputs.
        bias: Name or names of the biases, which each model has under `bias_per_context`.

    Raises:
        ValueError: If the class has a superposed form already.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import register, superpose
        >>> class Projection(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.matrix = torch.nn.Parameter(torch.randn(4, 3))
        ...     def forward(self, x):
        ...         return x @ self.matrix
        >>> register(Projection, weight="matrix", in_dim=0)
        >>> net = superpose(Projection(), family=BinaryContexts, num_contexts=50, seed=0, base=True)
        >>> net.contexts_for("matrix").dim
        4
    """
    if not isinstance(kind, str) and any(issubclass(kind, plain) for plain, _ in KINDS):
        raise ValueError(f"register: {kind.__name__} has a superposed form already.")
    weights = (weight,) if isinstance(weight, str) else tuple(weight)
    biases = (bias,) if isinstance(bias, str) else tuple(bias)
    _registered[kind] = registered_class(weights, biases, in_dim)


EXPERTS = ("gate_up_proj", "down_proj")
EXPERT_BIASES = ("gate_up_proj_bias", "down_proj_bias")
register("transformers.pytorch_utils.Conv1D", in_dim=0)
register("transformers.models.*Experts", weight=EXPERTS, bias=EXPERT_BIASES)
for _name in ("AriaExperts", "GptOssExperts", "Llama4TextExperts", "OpenAIPrivacyFilterExperts"):
    register(f"transformers.models.*.{_name}", weight=EXPERTS, bias=EXPERT_BIASES, in_dim=1)
register("torch_geometric.nn.dense.linear.Linear")


def superposed_class(module: nn.Module) -> type[Layer] | None:
    """Return the class that holds many models in place of a layer's, or None if there is none.

    A subclass of a layer class keeps its own `forward`, which runs on the weights of the model in
    use. A batch that mixes contexts runs the network once for each context that occurs.
    """
    plain = type(module)
    if issubclass(plain, Layer):
        return None
    if not isinstance(module, tuple(base for base, _ in KINDS)):
        form = _registered_class(plain)
        registered = form is not None and any(name in module._parameters for name in form.weights)
        if not registered and not is_vector_norm(module):
            return None
    return superposed_form(plain)


def superposed_form(plain: type[nn.Module]) -> type[Layer]:
    """Return the class that holds many models in place of a class that has a superposed form."""
    for base, superposed in KINDS:
        if plain is base:
            return superposed
        if issubclass(plain, base):
            return _mixed_in(superposed, plain, own_forward=plain.forward is not base.forward)
    registered = _registered_class(plain)
    if registered is not None:
        return _mixed_in(registered, plain, own_forward=True)
    form = norm_form(plain)
    return _mixed_in(form, plain, own_forward=form is RegisteredGatedNorm)


def _registered_class(plain: type[nn.Module]) -> type[Layer] | None:
    """Return the latest registration of a class or of one that it is derived from."""
    for kind in plain.__mro__:
        name = f"{kind.__module__}.{kind.__qualname__}"
        for registered, form in reversed(_registered.items()):
            if kind is registered or (
                isinstance(registered, str) and fnmatchcase(name, registered)
            ):
                return form
    return None


def _mixed_in(superposed: type[Layer], plain: type[nn.Module], *, own_forward: bool) -> type[Layer]:
    key = plain, superposed
    if key not in _subclasses:
        methods = {"forward": _forward_of(plain.forward)} if own_forward else {}
        _subclasses[key] = type(f"Superposed{plain.__name__}", (superposed, plain), methods)
    return _subclasses[key]


def _forward_of(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Return the `forward` of a subclass, which reads each weight of the model in use once."""

    @functools.wraps(forward)
    def run(layer: Layer, *args: Any, **kwargs: Any) -> Any:
        with layer.read_once():  # experts read their weight once for each of them
            return forward(layer, *args, **kwargs)

    return run
