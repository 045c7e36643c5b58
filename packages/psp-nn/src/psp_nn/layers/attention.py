"""Superposed multi-head attention: its packed projections hold all models."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from psp_nn.layers.attributes import entry_per_context, superposed_parameter
from psp_nn.layers.inputs import check_device
from psp_nn.layers.layer import Layer


class SuperposedMultiheadAttention(Layer, nn.MultiheadAttention):
    """Attention whose projections of query, key, value and output hold K models.

    The layer's own code runs, fused kernels included, on the weights of the model in use. A batch
    that mixes contexts runs the network once for each context that occurs.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import superpose, use_context
        >>> layer = torch.nn.TransformerEncoderLayer(8, nhead=2, batch_first=True)
        >>> layer = superpose(layer, family=BinaryContexts, num_contexts=50, seed=0, base=False)
        >>> with use_context(layer, torch.tensor([3, 7])):
        ...     layer(torch.randn(2, 5, 8)).shape
        torch.Size([2, 5, 8])
    """

    weights: ClassVar[tuple[str, ...]] = (
        "in_proj_weight",
        "q_proj_weight",
        "k_proj_weight",
        "v_proj_weight",
    )
    biases: ClassVar[tuple[str, ...]] = ("in_proj_bias", "bias_k", "bias_v")
    has_complex_form: ClassVar[bool] = False

    in_proj_weight: Any = superposed_parameter("in_proj_weight")
    q_proj_weight: Any = superposed_parameter("q_proj_weight")
    k_proj_weight: Any = superposed_parameter("k_proj_weight")
    v_proj_weight: Any = superposed_parameter("v_proj_weight")
    in_proj_bias: Any = entry_per_context("in_proj_bias")
    bias_k: Any = entry_per_context("bias_k")
    bias_v: Any = entry_per_context("bias_v")

    # A permutation of the output units keeps heads together, the same for query, key and value.

    def output_block(self, name: str) -> int:
        """Return the size of a head."""
        size: int = self.embed_dim // self.num_heads
        return size

    def to_outputs(self, name: str, weight: Tensor) -> Tensor:
        """Reshape the packed projections to (3, embed_dim, in); others are unchanged."""
        return weight.unflatten(0, (3, -1)) if name == "in_proj_weight" else weight

    def from_outputs(self, name: str, rows: Tensor) -> Tensor:
        """Reshape rows to a projection; the inverse of `to_outputs`."""
        return rows.flatten(0, 1) if name == "in_proj_weight" else rows

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Apply the model in use; see `torch.nn.MultiheadAttention`.

        Raises:
            ValueError: If an input is on another device than the layer.
        """
        packed = self._parameters["in_proj_weight"]
        weight = self.stored("q_proj_weight") if packed is None else packed
        for name, x in (("query", query), ("key", key), ("value", value)):
            check_device(self, x, weight, name)
        options: Any = {"average_attn_weights": average_attn_weights, "is_causal": is_causal}
        if torch.compiler.is_compiling():  # the compiler merges equal reads itself
            return super().forward(
                query, key, value, key_padding_mask, need_weights, attn_mask, **options
            )
        with self.read_once():
            return super().forward(
                query, key, value, key_padding_mask, need_weights, attn_mask, **options
            )
