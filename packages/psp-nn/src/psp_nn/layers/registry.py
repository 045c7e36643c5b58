"""Which layer classes have a superposed form."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from psp_nn.layers import convolution, norm, recurrent
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
    (nn.modules.batchnorm._BatchNorm, norm.SuperposedBatchNorm),
    (nn.modules.instancenorm._InstanceNorm, norm.SuperposedInstanceNorm),
    (nn.GroupNorm, norm.SuperposedGroupNorm),
    (nn.LayerNorm, norm.SuperposedLayerNorm),
    (nn.RMSNorm, norm.SuperposedRMSNorm),
)
"""A layer class of torch, and the class of its superposed form."""


_made: dict[type[nn.Module], type[Layer]] = {}


def superposed_class(plain: type[nn.Module]) -> type[Layer] | None:
    """The class that holds many models in place of `plain`, or None if there is none.

    A subclass of a layer class keeps its own code: if its `forward` is another one, that is what
    runs, on the weights of the model in use, and a batch that mixes contexts runs it once for
    each context that occurs.
    """
    if issubclass(plain, Layer):
        return None
    for base, superposed in KINDS:
        if plain is base:
            return superposed
        if issubclass(plain, base):
            if plain not in _made:
                same = plain.forward is base.forward
                own = {} if same else {"forward": _own_forward(plain.forward)}
                _made[plain] = type(f"Superposed{plain.__name__}", (superposed, plain), own)
            return _made[plain]
    return None


def _own_forward(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def run(layer: Layer, *args: Any, **kwargs: Any) -> Tensor:
        if not isinstance(layer.superposition.selection, PerSample):
            return forward(layer, *args, **kwargs)
        given: dict[Any, Any] = {**dict(enumerate(args)), **kwargs}  # by place or by name
        tensors = [key for key, value in given.items() if isinstance(value, Tensor)]
        if len(tensors) != 1:
            raise RuntimeError(
                f"layer '{layer.superposition.name}' has a forward pass of its own with {len(tensors)} "
                "tensors, and the batch mixes contexts: what belongs to which sample cannot "
                "be known; call the network once per context."
            )

        def of_part(part: Tensor) -> Tensor:
            own = given | {tensors[0]: part}
            return forward(layer, *(own.pop(at) for at in range(len(args))), **own)

        return loop_over_contexts(layer, given[tensors[0]], of_part, trailing=1)

    return run
