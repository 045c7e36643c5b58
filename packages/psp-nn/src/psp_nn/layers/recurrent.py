"""Superposed recurrent layers and cells: their products of input and of state hold all models."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from psp_nn.layers.attributes import entry_per_context, read, superposed_parameter
from psp_nn.layers.inputs import check_device
from psp_nn.layers.layer import Layer


class _WithState(Layer):
    """A layer that takes a state beside its input; contexts act on the weights."""

    has_complex_form: ClassVar[bool] = False

    hidden_size: int

    def to_outputs(self, name: str, weight: Tensor) -> Tensor:
        """Reshape a weight to (gates, hidden_size, in); a projection has no gates."""
        gated = not name.startswith("weight_hr") and len(weight) > self.hidden_size
        return weight.unflatten(0, (-1, self.hidden_size)) if gated else weight

    def from_outputs(self, name: str, rows: Tensor) -> Tensor:
        """Reshape rows to a weight; the inverse of `to_outputs`."""
        return rows.flatten(0, 1) if rows.dim() == 3 else rows


class _SuperposedRecurrent(_WithState):
    """A layer that runs over a sequence, with weights for each of its inner layers and directions.

    The layer's own code runs, fused kernels included, on the weights of the model in use. A batch
    that mixes contexts runs the network once for each context that occurs.
    """

    batch_first: bool
    _flat_weights_names: list[str]

    @classmethod
    def weights_of(cls, module: nn.Module) -> tuple[str, ...]:
        """Return the names of the weights of an ordinary layer, which depend on its depth."""
        return _names(module, "weight_")

    @classmethod
    def biases_of(cls, module: nn.Module) -> tuple[str, ...]:
        """Return the names of the biases of an ordinary layer, which depend on its depth."""
        return _names(module, "bias_")

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # torch does not compile LSTMs whole
    def forward(self, input: Any, hx: Any = None) -> Any:
        """Apply the model in use; see the ordinary layer.

        Raises:
            ValueError: If `input` is on another device than the layer.
        """
        packed = isinstance(input, PackedSequence)
        check_device(self, input.data if packed else input, self.stored("weight_ih_l0"))
        self.note_use()
        with self.read_once():
            return super().forward(input, hx)

    def __getattr__(self, name: str) -> Any:
        """Return a parameter as that of the model in use; their names depend on the depth."""
        state = self.__dict__.get("superposition")  # absent while a copy is under construction
        if state is not None and name in state.superposed:
            return read(self.retrieved, name)
        if state is not None and name in state.per_context:
            return read(self.entry, name)
        return super().__getattr__(name)

    # nn.RNNBase keeps a list of its parameters for its kernel, which here is read at each use.

    def prepare(self) -> None:
        """Drop the list of parameters."""
        self.__dict__.pop("_flat_weights", None)
        self.__dict__["_flat_weight_refs"] = []

    _flat_weights: Any = property(
        lambda layer: [getattr(layer, name) for name in layer._flat_weights_names]
    )

    def _init_flat_weights(self) -> None:
        """Do nothing: no list is kept."""

    def _update_flat_weights(self) -> None:
        """Do nothing: no list is kept."""

    def flatten_parameters(self) -> None:
        """Do nothing: the kernel gets copies, which it moves together itself."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute that does not hold all models; see `Layer`."""
        if name in self._flat_weights_names:  # nn.RNNBase would put it into its list
            if not self._sets_entry(name, value):
                nn.Module.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        nn.Module.__setstate__(self, state)


def _names(module: nn.Module, start: str) -> tuple[str, ...]:
    names: Any = module._flat_weights_names
    return tuple(name for name in names if name.startswith(start))


class SuperposedRNN(_SuperposedRecurrent, nn.RNN):
    """An Elman network that holds K models."""


class SuperposedLSTM(_SuperposedRecurrent, nn.LSTM):
    """An LSTM that holds K models.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import superpose, use_context
        >>> layer = torch.nn.LSTM(8, 16, num_layers=2, batch_first=True)
        >>> layer = superpose(layer, family=BinaryContexts, num_contexts=50, seed=0, base=False)
        >>> with use_context(layer, torch.tensor([3, 7])):
        ...     output, (h, c) = layer(torch.randn(2, 5, 8))
        >>> output.shape, h.shape
        (torch.Size([2, 5, 16]), torch.Size([2, 2, 16]))
    """


class SuperposedGRU(_SuperposedRecurrent, nn.GRU):
    """A GRU that holds K models."""


class _SuperposedCell(_WithState):
    """A cell, which takes one step of a sequence."""

    weights: ClassVar[tuple[str, ...]] = ("weight_ih", "weight_hh")
    biases: ClassVar[tuple[str, ...]] = ("bias_ih", "bias_hh")

    weight_ih: Any = superposed_parameter("weight_ih")
    weight_hh: Any = superposed_parameter("weight_hh")
    bias_ih: Any = entry_per_context("bias_ih")
    bias_hh: Any = entry_per_context("bias_hh")

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        """Apply the model in use; see the ordinary cell.

        Raises:
            ValueError: If `input` is on another device than the layer.
        """
        check_device(self, input, self.stored("weight_ih"))
        self.note_use()
        return super().forward(input, hx)


class SuperposedRNNCell(_SuperposedCell, nn.RNNCell):
    """An Elman cell that holds K models."""


class SuperposedLSTMCell(_SuperposedCell, nn.LSTMCell):
    """An LSTM cell that holds K models."""


class SuperposedGRUCell(_SuperposedCell, nn.GRUCell):
    """A GRU cell that holds K models."""
