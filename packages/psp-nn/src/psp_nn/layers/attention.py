"""Superposed multi-head attention: its packed projections hold all models."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from psp_nn.layers.attributes import entry_per_context, superposed_parameter
from psp_nn.layers.inputs import check_device
from psp_nn.layers.layer import Layer
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

    @property
    def in_proj_bias(self) -> Any:  # type: ignore[override]
        """Bias of the model in use, and None while the batch mixes contexts.

        With a bias, nn.TransformerEncoderLayer reads the weights for its fused kernel, which
        cannot serve a batch that mixes contexts. Without one it calls this layer.
        """
        per_sample = isinstance(self.superposition.selection, PerSample)
        return None if per_sample else self.entry("in_proj_bias")

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
            ValueError: If an input is on another device than the layer; or the batch mixes
                contexts, and the stated batch dimension is not the one that this layer declares
                with `batch_first`, or an input or mask does not have one sample per context.
        """
        packed = self._parameters["in_proj_weight"]
        weight = self.stored("q_proj_weight") if packed is None else packed
        for name, x in (("query", query), ("key", key), ("value", value)):
            check_device(self, x, weight, name)
        options: Any = {"average_attn_weights": average_attn_weights, "is_causal": is_causal}
        selection = self.superposition.selection
        if isinstance(selection, PerSample):
            inputs, masks = (query, key, value), (key_padding_mask, attn_mask)
            return self._forward_samples(inputs, masks, need_weights, options, selection)
        if torch.compiler.is_compiling():  # the compiler merges equal reads itself
            return super().forward(
                query, key, value, key_padding_mask, need_weights, attn_mask, **options
            )
        with self.read_once():
            return super().forward(
                query, key, value, key_padding_mask, need_weights, attn_mask, **options
            )

    def _forward_samples(
        self,
        inputs: tuple[Tensor, Tensor, Tensor],
        masks: tuple[Tensor | None, Tensor | None],
        need_weights: bool,
        options: dict[str, Any],
        selection: PerSample,
    ) -> tuple[Tensor, Tensor | None]:
        """Run the layer once for each context that occurs, and restore the order of the samples."""
        query, key, value = inputs
        key_padding_mask, attn_mask = masks
        name, dim = self.superposition.name, 0 if self.batch_first else 1
        selection.check_batch_first(dim, name, batch_first=self.batch_first)
        for x in inputs:
            # An unbatched input, with two dimensions, has positions where samples would lie.
            selection.check(x, name, trailing=1 if x.dim() == 3 else x.dim())
        self._check_mask("key_padding_mask", key_padding_mask, 2, len(selection.index))
        self._check_mask("attn_mask", attn_mask, 3, len(selection.index) * self.num_heads)
        positions = selection.positions(query.device)
        outputs, weights = [], []
        with one_model_at_a_time(self) as select:
            for k, at in positions:
                # nn.MultiheadAttention takes its self-attention path if all three are one tensor.
                parts = {id(x): x.index_select(dim, at) for x in inputs}
                select(k)
                y, w = self.forward(
                    parts[id(query)],
                    parts[id(key)],
                    parts[id(value)],
                    None if key_padding_mask is None else key_padding_mask.index_select(0, at),
                    need_weights,
                    self._select_mask(attn_mask, at),
                    **options,
                )
                outputs.append(y)
                if w is not None:
                    weights.append(w)
        back = torch.cat([at for _, at in positions]).argsort()
        output = torch.cat(outputs, dim).index_select(dim, back)
        return output, torch.cat(weights).index_select(0, back) if need_weights else None

    def _check_mask(self, name: str, mask: Tensor | None, dims: int, length: int) -> None:
        """Check the length of a mask with an entry per sample, of which samples are selected."""
        if mask is not None and mask.dim() == dims and len(mask) != length:
            raise ValueError(
                f"layer '{self.superposition.name}' needs {name} with {length} entries along "
                f"dimension 0 for this batch, but got shape {tuple(mask.shape)}."
            )

    def _select_mask(self, attn_mask: Tensor | None, at: Tensor) -> Tensor | None:
        if attn_mask is None or attn_mask.dim() == 2:
            return attn_mask
        per_sample: Tensor = attn_mask.unflatten(0, (-1, self.num_heads))
        return per_sample.index_select(0, at).flatten(0, 1)
