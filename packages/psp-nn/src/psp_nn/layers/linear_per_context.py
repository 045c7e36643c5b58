"""A linear layer with a weight and a bias for each model: a head of its own."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from psp_nn.layers.attributes import entry_per_context
from psp_nn.layers.inputs import check_features
from psp_nn.layers.layer import Layer
from psp_nn.layers.selection import Base, One, PerSample, Selection
from psp_nn.layers.superposed import base_name

NUM_OUTPUTS = "num_outputs"
"""Buffer with the number of outputs of each model's layer, where they differ."""


class LinearPerContext(Layer, nn.Linear):
    """A linear layer of which each model has a whole one: y = W_k x + b_k, without noise.

    The models' layers may have different numbers of outputs. They are stored in one table with as
    many rows as the largest, and only a model's own rows are used.

    Of a complex input it takes the real part, so that it can follow a complex body.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import superpose, use_context
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> options = {"num_contexts": 3, "seed": 0, "base": False, "own": {"2": [2, 5, 3]}}
        >>> net = superpose(net, family=BinaryContexts, **options)
        >>> _ = use_context(net, 1)
        >>> net(torch.ones(1, 4)).shape
        torch.Size([1, 5])
    """

    weights: ClassVar[tuple[str, ...]] = ()
    tables: ClassVar[tuple[str, ...]] = ("weight", "bias")

    row_dims: ClassVar[dict[str, int]] = {"weight": -2, "bias": -1}
    """Dimension of the outputs in a parameter, its table and its base, by name."""

    weight: Any = entry_per_context("weight")
    bias: Any = entry_per_context("bias")

    _outputs: int | None = None
    """Outputs of the model in use, or most outputs in a mixed batch; None if not known."""

    @property
    def has_sizes(self) -> bool:
        """True if the models may have different numbers of outputs."""
        return NUM_OUTPUTS in self._buffers

    @property
    def outputs_differ(self) -> bool:
        """True if the models have different numbers of outputs."""
        sizes = self._buffers.get(NUM_OUTPUTS)
        return sizes is not None and bool(sizes.min() != sizes.max())

    @torch.no_grad()
    def allow_sizes(self, sizes: Sequence[int], generator: torch.Generator) -> None:
        """Let the models have different numbers of outputs, at first these.

        Outputs that the layer does not have yet start as torch starts those of a linear layer.
        """
        state, bound = self.superposition, self.in_features**-0.5
        state.per_context = (*state.per_context, NUM_OUTPUTS)
        table = torch.tensor(list(sizes), device=self.stored().device)
        self.register_buffer(NUM_OUTPUTS, table)
        if base_name("weight") in self._buffers:
            base = torch.tensor(self.out_features, device=table.device)
            self.register_buffer(base_name(NUM_OUTPUTS), base)
        self.make_rows(max(sizes))
        for name in self.tables:
            value = self.table(name)
            if value is not None:
                rows = value[:, self.out_features :]
                start = torch.empty(rows.shape[1:])
                rows.copy_(start.uniform_(-bound, bound, generator=generator))
        self.select(state.selection)

    def set_entry(self, name: str, context: int, value: Tensor) -> None:
        """Set a tensor of one model, which may have another number of outputs than before."""
        if not self.has_sizes:
            return super().set_entry(name, context, value)
        self.make_rows(len(value))
        table = self.table(name)
        assert table is not None
        table[context, : len(value)].copy_(value)
        self.get_buffer(NUM_OUTPUTS)[context] = len(value)
        self.select(self.superposition.selection)

    @torch.no_grad()
    def make_rows(self, count: int) -> None:
        """Give the tables at least so many rows, the new ones zero; they stay the same objects."""
        for name, dim in self.row_dims.items():
            for table in (self.table(name), self._buffers.get(base_name(name))):
                if table is not None and count > table.shape[dim]:
                    table.data = _with_rows(table.data, count, dim)
                    table.grad = None  # it has the old shape

    def select(self, selection: Selection) -> None:
        """Use another model or other models from now on."""
        super().select(selection)
        self._outputs = self._outputs_of(selection)

    def _outputs_of(self, selection: Selection) -> int | None:
        sizes = self._buffers.get(NUM_OUTPUTS)
        if sizes is None or sizes.is_meta:
            return None
        if isinstance(selection, Base):
            sizes = self.get_buffer(base_name(NUM_OUTPUTS))
        elif isinstance(selection, PerSample):
            sizes = selection.rows(sizes) if len(selection.index) else sizes
        elif isinstance(selection, One) and isinstance(selection.index, int):
            sizes = sizes[selection.index]
        elif self.outputs_differ:
            return None
        return int(sizes.max())

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        if self.has_sizes:
            self._fit_rows(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)
        self.select(self.superposition.selection)  # for the sizes

    def _fit_rows(self, state_dict: Any, prefix: str) -> None:
        """Give the tables here and in a state dict the same number of rows."""
        for name, dim in self.row_dims.items():
            for key in (name, base_name(name)):
                saved, table = state_dict.get(prefix + key), self.table(key)
                if isinstance(saved, Tensor) and table is not None and saved.dim() == table.dim():
                    self.make_rows(saved.shape[dim])
                    state_dict[prefix + key] = _with_rows(saved, table.shape[dim], dim)

    def _entry(self, name: str, part: int) -> Tensor | None:
        value = super()._entry(name, part)
        if value is None or not self.has_sizes or name == NUM_OUTPUTS:
            return value
        if self._outputs is None:
            raise RuntimeError(
                f"layer '{self.superposition.name}' has another number of outputs for each model, "
                "so that the model in use must be an int; call the network once per context."
            )
        return value[: self._outputs]

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer of the model in use.

        Args:
            input: Shape (…, in_features).

        Returns:
            Shape (…, outputs), real. In a batch that mixes models of different numbers of
            outputs, the outputs that a sample's model does not have are -inf, the logits of
            impossible classes.

        Raises:
            TypeError: If `input` has another dtype than the weight and autocast is off.
            ValueError: If `input` has another shape or is on another device, or the batch mixes
                contexts and `input` does not have one sample per context along the stated
                dimension.
        """
        x = input.real if input.is_complex() else input
        check_features(self, x, self.stored(), self.in_features)
        selection = self.superposition.selection
        if not isinstance(selection, PerSample):
            return F.linear(x, self.weight, self.bias)
        self.note_use()
        selection.check(x, self.superposition.name, trailing=1)
        samples = x.movedim(selection.batch_dim, 0)
        weight = selection.rows(self.stored())
        y = torch.einsum("b...i,boi->b...o", samples, weight).movedim(0, selection.batch_dim)
        shape = selection.shape(x.dim() - 1)
        bias = self.table("bias")
        if bias is not None:
            y = y + selection.rows(bias).reshape(*shape, -1).to(y.dtype)
        if not self.has_sizes:
            return y
        y = y[..., : self._outputs]
        sizes = selection.rows(self.get_buffer(NUM_OUTPUTS)).reshape(*shape, 1)
        return y.masked_fill(torch.arange(y.shape[-1], device=y.device) >= sizes, -torch.inf)


def _with_rows(table: Tensor, count: int, dim: int) -> Tensor:
    """Return a table with at least so many rows, the new ones zero."""
    shape = list(table.shape)
    shape[dim] = count - shape[dim]
    return table if shape[dim] <= 0 else torch.cat([table, table.new_zeros(shape)], dim)
