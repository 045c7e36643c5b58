"""Everything that a superposed layer has beside its parameters, buffers and contexts."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from psp_contexts import Operator
from psp_nn.layers.model_record import ModelRecord
from psp_nn.layers.recompute_guard import RecomputeGuard
from psp_nn.layers.selection import Selection


class CachedOperator(NamedTuple):
    """Operator of the selected model or models, with the dtype and device it was made for."""

    operator: Operator
    dtype: torch.dtype
    device: torch.device


class BoundBase(NamedTuple):
    """R_k base C_k⁻¹ for the selected model, with the base that it was computed from."""

    value: Tensor
    base: Tensor
    version: int


@dataclass(eq=False)
class LayerState:
    """Superposition of one layer: which tensors hold all models, and which model is in use."""

    name: str
    """Dotted name of the layer, for which its contexts are drawn."""

    num_contexts: int
    """Number of models, K."""

    superposed: tuple[str, ...]
    """Names of the parameters Σ_k W_k C_k⁻¹, each with its own contexts."""

    per_context: tuple[str, ...]
    """Names of the parameters and buffers with an entry per model, shape (K, …)."""

    selection: Selection
    """Model in use, or one model per sample."""

    guard: RecomputeGuard
    """Check that checkpointing recomputes a forward pass with the same model."""

    has_base: bool = False
    """True if the superposed parameters hold differences from a base."""

    two_sided: tuple[str, ...] = ()
    """Names of the superposed parameters that have contexts on their output side, too."""

    parts: int = 1
    """Tables of a norm layer per model: 2, for real and imaginary part, in a complex network."""

    per_channel: bool = False
    """True if the contexts of a convolution have one entry per input channel."""

    operators: dict[str, CachedOperator] = field(default_factory=dict)
    """Operators of the selection by parameter name, where they can be cached."""

    output_operators: dict[str, CachedOperator] = field(default_factory=dict)
    """Operators of the selection on the output side by parameter name."""

    bound_bases: dict[str, BoundBase] = field(default_factory=dict)
    """Bases of the selected model as seen by its bound inputs, by parameter name."""

    read_cache: dict[str, Any] | None = None
    """Attributes read so far within `Layer.read_once`, or the values that replace them."""

    last_read: Any = None
    """Weak reference to the tensor that was last read as a weight of the model in use."""

    models: ModelRecord = field(default_factory=ModelRecord)
    """Names and record of the models, the same object in all layers of a network."""

    loading: bool = False
    """True while a state dict is loaded, which may replace parameters (`assign=True`)."""

    def __getstate__(self) -> dict[str, Any]:
        """Leave caches out of copies and pickles."""
        return {**self.__dict__, "bound_bases": {}, "last_read": None}
