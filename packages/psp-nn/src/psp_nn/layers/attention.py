"""Superposed multi-head attention: its packed projections hold all models."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from psp_nn.layers.inputs import check_attention
from psp_nn.layers.layer import Layer, entry_per_context, superposed_parameter
from psp_nn.layers.loop_over_contexts import one_model_at_a_time
from psp_nn.layers.selection import PerSample


class SuperposedMultiheadAttention(Layer, nn.MultiheadAttention):
    """Attention whose projections of query, key, value and output hold K models.

    The layer's own code runs, fused kernels included, on the weights of the model in use. A batch
    that mixes contexts runs it once for each context that occurs.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import superpose, use_context
        >>> layer = torch.nn.TransformerEncoderLayer(8, nhead=2, batch_first=True)
        >>> layer = superpose(layer, family=BinaryContexts, num_contexts=50, seed=0)
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
    bias_k: Any = entry_per_context("bias_k")
    bias_v: Any = entry_per_context("bias_v")

    @property
    def in_proj_bias(self) -> Any:  # type: ignore[override]
        """The bias of the model in use, and None while the batch mixes contexts.

        An encoder layer that finds a bias goes on to read the weights for its fused kernel, which
        cannot serve a batch that mixes contexts; without one it calls this layer.
        """
        return (
            None
            if isinstance(self.superposition.selection, PerSample)
            else self.entry("in_proj_bias")
        )

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
        """As the plain layer, with the model in use.

        Raises:
            TypeError: If an input has not the dtype of the weights and autocast is off, or a mask
                is neither boolean nor floating.
            ValueError: If inputs and masks are of other shapes or on another device; if the batch
                mixes contexts, and the stated batch dimension is not the one that this layer
                declares with `batch_first`, or has not one sample per context.
        """
        check_attention(self, query, key, value, key_padding_mask, attn_mask, is_causal)
        options: Any = {"average_attn_weights": average_attn_weights, "is_causal": is_causal}
        if not isinstance(self.superposition.selection, PerSample):
            if torch.compiler.is_compiling():  # a compiler finds out by itself
                return super().forward(
                    query, key, value, key_padding_mask, need_weights, attn_mask, **options
                )
            with self.read_once():
                return super().forward(
                    query, key, value, key_padding_mask, need_weights, attn_mask, **options
                )
        selected = self.superposition.selection
        dim = 0 if self.batch_first else 1
        selected.check_batch_first(dim, self.superposition.name, batch_first=self.batch_first)
        for x in (query, key, value):
            # Without a batch, of two dimensions, there are positions where the samples would lie.
            selected.check(x, self.superposition.name, trailing=1 if x.dim() == 3 else x.dim())
        places = selected.places(query.device)
        outputs, weights = [], []
        with one_model_at_a_time(self) as select:
            for k, at in places:
                # Self-attention passes one tensor thrice, and the layer looks whether it does.
                parts = {id(x): x.index_select(dim, at) for x in (query, key, value)}
                select(k)
                y, w = self.forward(
                    parts[id(query)],
                    parts[id(key)],
                    parts[id(value)],
                    None if key_padding_mask is None else key_padding_mask.index_select(0, at),
                    need_weights,
                    self._mask_of(attn_mask, at),
                    **options,
                )
                outputs.append(y)
                if w is not None:
                    weights.append(w)
        back = torch.cat([at for _, at in places]).argsort()
        output = torch.cat(outputs, dim).index_select(dim, back)
        return output, torch.cat(weights).index_select(0, back) if need_weights else None

    def _mask_of(self, attn_mask: Tensor | None, at: Tensor) -> Tensor | None:
        if attn_mask is None or attn_mask.dim() == 2:
            return attn_mask
        per_sample: Tensor = attn_mask.unflatten(0, (-1, self.num_heads))
        return per_sample.index_select(0, at).flatten(0, 1)
