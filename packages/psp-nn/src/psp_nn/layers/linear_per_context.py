"""A linear layer with a weight and a bias for each model: a head of its own."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from psp_nn.layers.attributes import entry_per_context
from psp_nn.layers.inputs import check_features
from psp_nn.layers.layer import Layer
from psp_nn.layers.selection import Base, EachSample, One, Selection
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

    weight: Any = entry_per_context("weight")
    bias: Any = entry_per_context("bias")

    _sizes: list[int] | None = None
    """Numbers of outputs of the models, as Python numbers, if they differ."""

    _base_size = 0

    def allow_sizes(self, sizes: Sequence[int]) -> None:
        """Let the models have different numbers of outputs, at first these."""
        state = self.superposition
        state.per_context = (*state.per_context, NUM_OUTPUTS)
        table = torch.tensor(list(sizes), device=self.stored().device)
        self.register_buffer(NUM_OUTPUTS, table)
        if base_name("weight") in self._buffers:
            base = torch.tensor(self.out_features, device=table.device)
            self.register_buffer(base_name(NUM_OUTPUTS), base)
        self._make_rows(max(sizes))
        self.select(state.selection)

    def set_entry(self, name: str, context: int, value: Tensor) -> None:
        """Set a tensor of one model, which may have another number of outputs than before."""
        table = self.table(name)
        assert table is not None
        if self._sizes is not None:
            self._make_rows(len(value))
            self.get_buffer(NUM_OUTPUTS)[context] = len(value)
            table[context, : len(value)].copy_(value)
            self.select(self.superposition.selection)
        else:
            super().set_entry(name, context, value)

    @torch.no_grad()
    def _make_rows(self, count: int) -> None:
        """Give the tables at least so many rows; they stay the same objects."""
        missing = count - self.stored().shape[1]
        if missing <= 0:
            return
        fresh = nn.Linear(self.in_features, missing)
        for name in self.tables:
            start = fresh.get_parameter(name)
            for table in (self.table(name), self._buffers.get(base_name(name))):
                if table is not None:
                    rows = start.to(table).expand(
                        *table.shape[: table.dim() - start.dim()], *start.shape
                    )
                    table.data = torch.cat([table.data, rows], -start.dim())
                    table.grad = None

    def select(self, selection: Selection) -> None:
        """Select the model or models that a forward pass uses."""
        super().select(selection)
        table = self._buffers.get(NUM_OUTPUTS)
        if table is not None and not table.is_meta:
            self._sizes = table.tolist()
            base = self._buffers.get(base_name(NUM_OUTPUTS))
            self._base_size = 0 if base is None else int(base)

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self.select(self.superposition.selection)  # for the sizes

    def _entry(self, name: str, part: int) -> Tensor | None:
        value = super()._entry(name, part)
        if value is None or self._sizes is None or name == NUM_OUTPUTS:
            return value
        selection = self.superposition.selection
        if isinstance(selection, Base):
            return value[: self._base_size]
        if isinstance(selection, One) and isinstance(selection.index, int):
            return value[: self._sizes[selection.index]]
        raise RuntimeError(
            f"layer '{self.superposition.name}' has another number of outputs for each model, so "
            "that the model in use must be an int; call the network once per context."
        )

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
            ValueError: If `input` has another shape or is on another device.
        """
        x = input.real if input.is_complex() else input
        check_features(self, x, self.stored(), self.in_features)
        y = F.linear(x, self.weight, self.bias)
        selection = self.superposition.selection
        batch = selection.batch if isinstance(selection, One) else None
        if batch is None or self._sizes is None:
            return y
        width = max(self._sizes[k] for k in batch.present)
        if not isinstance(selection, EachSample):
            return F.pad(y, (0, width - y.shape[-1]), value=-torch.inf)
        size = selection.row(self.get_buffer(NUM_OUTPUTS))
        return y[..., :width].masked_fill(torch.arange(width, device=y.device) >= size, -torch.inf)
