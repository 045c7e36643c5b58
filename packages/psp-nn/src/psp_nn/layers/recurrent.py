"""Superposed recurrent layers and cells: their products of input and of state hold all models."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from psp_nn.layers.inputs import check_features
from psp_nn.layers.layer import Layer, entry_per_context, read, superposed_parameter
from psp_nn.layers.loop_over_contexts import one_model_at_a_time
from psp_nn.layers.selection import PerSample


class _WithState(Layer):
    """What takes a state beside its input; contexts act on the weights."""

    has_complex_form: ClassVar[bool] = False

    input_size: int

    def _mixed(self, x: Tensor, hx: Any, dim: int, state_dim: int) -> Any:
        """A batch that mixes contexts: once for each context that occurs, put back in order.

        Args:
            x: The input, with its samples along `dim`.
            hx: A state, a tuple of states, or None, with theirs along `state_dim`.
            dim: See `x`; so are they in an output beside the state.
            state_dim: See `hx`.
        """
        selected = self.superposition.selection
        assert isinstance(selected, PerSample)
        selected.check(x, self.superposition.name, trailing=1)
        for state in () if hx is None else tree_leaves(hx):
            if state.dim() <= state_dim or state.shape[state_dim] != len(selected.index):
                raise ValueError(
                    f"layer '{self.superposition.name}' got a state hx of shape {tuple(state.shape)} while "
                    f"the batch mixes contexts; pass one with the {len(selected.index)} samples "
                    f"along dimension {state_dim}."
                )
        places, results = selected.places(x.device), []
        with one_model_at_a_time(self) as select:
            for k, at in places:
                select(k)
                states = None if hx is None else _at(hx, state_dim, at)
                results.append(tree_flatten(self.forward(x.index_select(dim, at), states)))
        back = torch.cat([at for _, at in places]).argsort()
        structure = results[0][1]
        parts = list(zip(*(leaves for leaves, _ in results), strict=True))
        # A cell gives states alone, a layer its output before them.
        dims = [state_dim] * len(parts)
        dims[0] = dim
        joined = [torch.cat(p, d).index_select(d, back) for p, d in zip(parts, dims, strict=True)]
        return tree_unflatten(joined, structure)


def _at(states: Any, dim: int, at: Tensor) -> Any:
    return tree_map(lambda state: state.index_select(dim, at), states)


class _SuperposedRecurrent(_WithState):
    """A layer that runs over a sequence, with weights for each of its own layers and directions.

    The layer's own code runs, fused kernels included, on the weights of the model in use. A batch
    that mixes contexts runs it once for each context that occurs.
    """

    batch_first: bool
    _flat_weights_names: list[str]

    @classmethod
    def weights_of(cls, module: nn.Module) -> tuple[str, ...]:
        """See `Layer`."""
        return _named(module, "weight_")

    @classmethod
    def biases_of(cls, module: nn.Module) -> tuple[str, ...]:
        """See `Layer`."""
        return _named(module, "bias_")

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # torch compiles no LSTM whole
    def forward(self, input: Any, hx: Any = None) -> Any:
        """As the plain layer, with the model in use.

        Raises:
            RuntimeError: If the batch mixes contexts and the input is a PackedSequence.
            TypeError: If the input has not the dtype of the weights and autocast is off.
            ValueError: If it has another shape or is on another device; if the batch mixes
                contexts, and the stated batch dimension is not the one that this layer declares
                with `batch_first`, or input and state have not one sample per context.
        """
        packed = isinstance(input, PackedSequence)
        x = input.data if packed else input
        check_features(self, x, self.stored("weight_ih_l0"), self.input_size)
        self.note_use()
        if not isinstance(self.superposition.selection, PerSample):
            with self.read_once():
                return super().forward(input, hx)
        if packed:
            raise RuntimeError(
                f"layer '{self.superposition.name}' got a PackedSequence, and the batch mixes contexts; "
                "pass a padded tensor, or call the network once per context."
            )
        dim = 0 if self.batch_first else 1
        self.superposition.selection.check_batch_first(
            dim, self.superposition.name, batch_first=self.batch_first
        )
        return self._mixed(x, hx, dim, 1)

    def __getattr__(self, name: str) -> Any:
        """The parameters, however many, as those of the model in use."""
        state = self.__dict__.get("superposition")  # absent while a copy is under construction
        if state is not None and name in state.superposed:
            return read(self.retrieved, name)
        if state is not None and name in state.per_context:
            return read(self.entry, name)
        return super().__getattr__(name)

    # The plain layer keeps a list of its parameters, for its kernel; here it is read each time.

    def prepare(self) -> None:
        """Drop the list."""
        self.__dict__.pop("_flat_weights", None)
        self.__dict__["_flat_weight_refs"] = []

    _flat_weights: Any = property(
        lambda layer: [getattr(layer, name) for name in layer._flat_weights_names]
    )

    def _init_flat_weights(self) -> None:
        """There is none to make."""

    def _update_flat_weights(self) -> None:
        """Nor to update."""

    def flatten_parameters(self) -> None:
        """What the kernel gets are copies, which it moves together by itself."""

    def __setattr__(self, name: str, value: Any) -> None:
        """As of any superposed layer; see there."""
        if name in self._flat_weights_names:  # which the plain layer would put into its list
            self._check_assignment(name, value)
            nn.Module.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        nn.Module.__setstate__(self, state)


def _named(module: nn.Module, start: str) -> tuple[str, ...]:
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
        >>> layer = superpose(layer, family=BinaryContexts, num_contexts=50, seed=0)
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
        """As the plain cell, with the model in use.

        Raises:
            TypeError: If the input has not the dtype of the weights and autocast is off.
            ValueError: If it has another shape or is on another device; if the batch mixes
                contexts, and input and state have not one sample per context.
        """
        check_features(self, input, self.stored("weight_ih"), self.input_size)
        self.note_use()
        if isinstance(self.superposition.selection, PerSample):
            return self._mixed(input, hx, 0, 0)
        return super().forward(input, hx)


class SuperposedRNNCell(_SuperposedCell, nn.RNNCell):
    """An Elman cell that holds K models."""


class SuperposedLSTMCell(_SuperposedCell, nn.LSTMCell):
    """An LSTM cell that holds K models."""


class SuperposedGRUCell(_SuperposedCell, nn.GRUCell):
    """A GRU cell that holds K models."""
