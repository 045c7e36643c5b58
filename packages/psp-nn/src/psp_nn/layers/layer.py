"""A superposed layer as this package works with it: selecting a model, and reading it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from psp_contexts import Contexts
from psp_nn.layers.recompute_guard import Uses
from psp_nn.layers.selection import Mixture, One, PerSample, Selection
from psp_nn.layers.superposed import Superposed, base_name, contexts_name


class Layer(Superposed):
    """What every kind of superposed layer mixes in before the ordinary layer's own class."""

    has_complex_form: ClassVar[bool] = True
    """Whether the layer can be part of a complex network."""

    binds_each_sample: bool = False
    """Whether a batch that mixes contexts is served by binding its samples, in one pass."""

    parts: int = 1
    """How many numbers make one entry of a table: 2, real and imaginary, if complex."""

    part: int = 0
    """Which of them is read."""

    uses: Uses
    _operands: dict[str, Any]
    _made_for: dict[str, tuple[torch.dtype, torch.device]]
    _read: dict[str, Any] | None = None
    _loads: bool = False

    @classmethod
    def weights_of(cls, module: nn.Module) -> tuple[str, ...]:
        """`weights`, for kinds of layers of which not all have the same."""
        return cls.weights

    @classmethod
    def biases_of(cls, module: nn.Module) -> tuple[str, ...]:
        """Likewise `biases`."""
        return cls.biases

    # How a kind of layer sees its weights as rows; the default is a matrix (out, dim).

    def rows(self, name: str, weight: Tensor) -> Tensor:
        """A weight as matrices (out, dim), or (groups, out, dim) with contexts for each group."""
        return weight

    def unrows(self, name: str, rows: Tensor) -> Tensor:
        """Undoes `rows`."""
        return rows

    def replace_contexts(self, name: str, contexts: Contexts) -> None:
        """Use other contexts for a parameter."""
        self._modules[contexts_name(name)] = contexts

    def forget_plain(self) -> None:
        """Drop what the plain layer kept of its parameters beside them."""

    # Reading the model in use.

    def retrieved(self, name: str = "weight") -> Any:
        """The weight of the model in use, W C_k, plus the base if there is one; None if none.

        Raises:
            RuntimeError: If the batch mixes contexts, so that there is no one weight.
        """
        if name in self._parameters and self._parameters[name] is None:
            return None
        if self._read is not None:
            if name not in self._read:
                self._read[name] = self._retrieved(name)
            return self._read[name]
        return self._retrieved(name)

    def _retrieved(self, name: str) -> Tensor:
        self.note_use()
        selected = self.selected
        if isinstance(selected, PerSample):
            raise RuntimeError(
                f"'{name}' of layer '{self.layer_name}' is read as one weight, but the batch mixes "
                "contexts; the module around it cannot serve a context per sample: call the "
                "network once per context, or leave the layer out with exclude."
            )
        rows = self.rows(name, self.stored(name))
        if isinstance(selected, Mixture):
            every = self._each_group(name, torch.arange(self.num_contexts, device=rows.device))
            models = self.contexts_for(name).retrieve(
                rows.expand(self.num_contexts, *rows.shape), every
            )
            weight = self.unrows(name, selected.row(models))
        else:
            weight = self.unrows(name, self.contexts_for(name).retrieve(rows, self.context(name)))
        base = self._buffers.get(base_name(name))
        return weight if base is None else base + weight

    def entry(self, name: str) -> Any:
        """A parameter or buffer that is not superposed: shared, or the entry of the model in use.

        Raises:
            RuntimeError: If it has an entry per model and the batch mixes contexts.
        """
        table: Tensor | None = self._parameters.get(name)
        if table is None:
            table = self._buffers.get(name)
        if self._read is not None:
            if name not in self._read:
                self._read[name] = self._entry(name, table)
            return self._read[name]
        return self._entry(name, table)

    def _entry(self, name: str, table: Tensor | None) -> Tensor | None:
        if table is None or (name not in self.per_context and self.parts == 1):
            return table
        entry = self._of_model(name, table) if name in self.per_context else table
        return entry if self.parts == 1 else entry[self.part]

    def _of_model(self, name: str, table: Tensor) -> Tensor:
        self.note_use()
        if isinstance(self.selected, PerSample):
            raise RuntimeError(
                f"'{name}' of layer '{self.layer_name}' is read as one tensor, but the batch mixes "
                "contexts; call the network once per context."
            )
        return self.selected.row(table)

    @contextmanager
    def read_once(self, **instead: Any) -> Iterator[dict[str, Any]]:
        """Within this, what is read of the model in use is read once, or is what is given."""
        read = dict(instead)
        self.__dict__["_read"] = read
        try:
            yield read
        finally:
            self.__dict__["_read"] = None

    def context(self, name: str = "weight") -> Any:
        """The one model in use, in the form that `bind` and `retrieve` take fastest."""
        operands = self._looked_up(name)
        if operands is not None:
            return operands
        assert isinstance(self.selected, One)
        return self._each_group(name, self.selected.current)

    def sample_contexts(self, name: str, leading: int) -> Any:
        """The contexts of all samples, in the form that `bind` and `retrieve` take.

        Args:
            name: Of the parameter.
            leading: How many dimensions of what will be bound they broadcast to.
        """
        selected = self.selected
        assert isinstance(selected, PerSample)
        operands = self._looked_up(name)
        if operands is not None:
            return type(operands)([selected.spread(part, leading) for part in operands])
        contexts, index = self.contexts_for(name), selected.spread(selected.index, leading)
        if not contexts.gathers:
            return index
        return contexts.look_up(self.stored(name).detach(), index, check=False)

    # Changing what is in use.

    def select(self, selection: Selection) -> None:
        """Use another model from now on."""
        operands, made_for = {}, {}
        if isinstance(selection, One) or (
            isinstance(selection, PerSample) and self.binds_each_sample
        ):
            for name in self.superposed:
                contexts, index = self.contexts_for(name), self._each_group(name, selection.index)
                many = isinstance(index, Tensor) and index.dim() > 0
                if next(contexts.parameters(), None) is not None or (many and not contexts.gathers):
                    continue  # learned contexts change, and large ones are not gathered
                if isinstance(index, Tensor) and isinstance(selection, One) and many:
                    index = index.unsqueeze(-1)  # for each row of each group
                with torch.inference_mode(False):
                    like = self.stored(name).detach()
                    operands[name] = contexts.look_up(like, index, check=False)
                    made_for[name] = like.dtype, like.device
        self.__dict__["selected"] = selection
        self.__dict__["_operands"] = operands
        self.__dict__["_made_for"] = made_for

    def _looked_up(self, name: str) -> Any:
        """What `select` has looked up for a parameter, if it has, and not for another than now."""
        if name not in self._operands:
            return None
        stored: Any = self._parameters[name]
        dtype, device = self._made_for[name]
        if stored.dtype != dtype or stored.device != device:  # functional_call, assign=True
            self.select(self.selected)
        return self._operands[name]

    def note_use(self) -> None:
        """Remember which model a forward pass used, and refuse to recompute with another.

        Raises:
            RuntimeError: See `Uses.note`.
        """
        if not torch.compiler.is_compiling():
            self.uses.note(self.selected, self.layer_name)

    def _each_group(self, name: str, index: int | Tensor) -> int | Tensor:
        """Context `index` of every group, which the family holds one group after the other.

        A tensor of indices of shape (…) becomes one of shape (…, groups) if there are groups.
        """
        groups = self.contexts_for(name).num_contexts // self.num_contexts
        if groups == 1:
            return index
        first = torch.arange(groups, device=self.stored(name).device) * self.num_contexts
        if isinstance(index, Tensor):
            index = index.to(first.device).unsqueeze(-1)
        return first + index

    def __setattr__(self, name: str, value: Any) -> None:
        """As of any module, but for what holds all models.

        Raises:
            RuntimeError: If it would be replaced by a parameter, which is of one model.
        """
        self._check_replaced(name, value)
        super().__setattr__(name, value)

    def _check_replaced(self, name: str, value: Any) -> None:
        held = (*self.__dict__.get("superposed", ()), *self.__dict__.get("per_context", ()))
        if name in held and isinstance(value, nn.Parameter) and not self._loads:
            raise RuntimeError(
                f"'{name}' of layer '{self.layer_name}' holds all models, and cannot be replaced "
                f"by a parameter; put a model in with store, or change stored('{name}') in place."
            )

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self.__dict__["_loads"] = True  # load_state_dict(…, assign=True) replaces parameters
        try:
            super()._load_from_state_dict(*args, **kwargs)
        finally:
            del self.__dict__["_loads"]

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> Any:
        def of_parts(value: Tensor) -> Tensor:
            # To torch, `.to(torch.float64)` of a complex weight means its real part.
            if not value.is_complex():
                return fn(value)
            parts = fn(torch.view_as_real(value))
            if parts.dtype not in (torch.float32, torch.float64):
                raise TypeError(
                    f"layer '{self.layer_name}' is complex, and torch has no complex numbers of "
                    f"{parts.dtype}; use float32 or float64."
                )
            return torch.view_as_complex(parts)

        super()._apply(of_parts, *args, **kwargs)  # type: ignore[no-untyped-call]
        self.select(self.selected)  # for the new dtype and device
        return self


def one(index: int | Tensor) -> One:
    """A selection of one model."""
    return One(index, index if isinstance(index, Tensor) else torch.tensor(index))


def superposed_parameter(name: str) -> Any:
    """An attribute of a layer class that reads as the model in use; see `Superposed`."""
    return property(lambda layer: read(layer.retrieved, name))


def entry_per_context(name: str) -> Any:
    """An attribute of a layer class that is shared, or has an entry per model."""

    def entry(layer: Layer) -> Any:
        if layer.parts == 1 and layer._read is None and name not in layer.per_context:
            shared = layer._parameters.get(name)
            if shared is not None:  # every forward pass comes here
                return shared
        return read(layer.entry, name)

    return property(entry)


def read(reads: Callable[[str], Any], name: str) -> Any:
    """What `reads` gives, for an attribute: errors that a module would take for its absence end."""
    try:
        return reads(name)
    except AttributeError as error:  # for which a module would look among its parameters
        raise RuntimeError(f"'{name}' cannot be read as that of one model: {error}") from error
