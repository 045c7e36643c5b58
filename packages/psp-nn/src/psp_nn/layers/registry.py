"""Layer classes that have a superposed form."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from psp_nn.layers import batch_norm, convolution, norm, recurrent
from psp_nn.layers.attention import SuperposedMultiheadAttention
from psp_nn.layers.embedding import SuperposedEmbedding
from psp_nn.layers.layer import Layer
from psp_nn.layers.linear import SuperposedLinear
from psp_nn.layers.loop_over_contexts import loop_over_contexts
from psp_nn.layers.selection import PerSample

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

_subclasses: dict[type[nn.Module], type[Layer]] = {}


def superposed_class(plain: type[nn.Module]) -> type[Layer] | None:
    """Return the class that holds many models in place of `plain`, or None if there is none.

    A subclass of a layer class keeps its own `forward`, which runs on the weights of the model in
    use. A batch that mixes contexts runs it once for each context that occurs.
    """
    if issubclass(plain, Layer):
        return None
    for base, superposed in KINDS:
        if plain is base:
            return superposed
        if issubclass(plain, base):
            if plain not in _subclasses:
                inherited = plain.forward is base.forward
                methods = {} if inherited else {"forward": _forward_of(plain.forward)}
                name = f"Superposed{plain.__name__}"
                _subclasses[plain] = type(name, (superposed, plain), methods)
            return _subclasses[plain]
    return None


def _forward_of(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the `forward` of a subclass, with a loop over contexts for mixed batches."""

    def run(layer: Layer, *args: Any, **kwargs: Any) -> Tensor:
        if not isinstance(layer.superposition.selection, PerSample):
            return forward(layer, *args, **kwargs)
        arguments: dict[Any, Any] = {**dict(enumerate(args)), **kwargs}
        tensors = [key for key, value in arguments.items() if isinstance(value, Tensor)]
        if len(tensors) != 1:
            raise RuntimeError(
                f"layer '{layer.superposition.name}' has its own forward with {len(tensors)} "
                "tensors, and the batch mixes contexts; call the network once per context."
            )

        def apply(samples: Tensor) -> Tensor:
            replaced = arguments | {tensors[0]: samples}
            return forward(layer, *(replaced.pop(i) for i in range(len(args))), **replaced)

        return loop_over_contexts(layer, arguments[tensors[0]], apply, trailing=1)

    return run
