"""Internal interface of a superposed layer: select a model, and read its tensors."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from psp_contexts import Contexts, Operator
from psp_nn.layers.protected import Protected
from psp_nn.layers.resize import fit_smaller_state
from psp_nn.layers.selection import (
    Base,
    EachSample,
    MixedBatchError,
    Mixture,
    NeedsOneModelError,
    One,
    PerSample,
    Selection,
)
from psp_nn.layers.state import CachedOperator
from psp_nn.layers.superposed import base_name, contexts_name


class Layer(Protected):
    """Mixin that precedes the ordinary layer's class in every kind of superposed layer."""

    weights: ClassVar[tuple[str, ...]] = ("weight",)
    """Names of the parameters to superpose, where the layer has them."""

    tables: ClassVar[tuple[str, ...]] = ()
    """Names of the parameters and buffers with an entry per model under per-context norms."""

    biases: ClassVar[tuple[str, ...]] = ("bias",)
    """Names of the parameters with an entry per model if `bias_per_context`."""

    has_complex_form: ClassVar[bool] = True
    """True if the layer can be part of a complex network."""

    @classmethod
    def weights_of(cls, module: nn.Module) -> tuple[str, ...]:
        """Return the names of the parameters of an ordinary layer to superpose."""
        return cls.weights

    @classmethod
    def biases_of(cls, module: nn.Module) -> tuple[str, ...]:
        """Return the names of the biases of an ordinary layer."""
        return cls.biases

    def replace_contexts(self, name: str, contexts: Contexts) -> None:
        """Use other contexts for a parameter."""
        self._modules[contexts_name(name)] = contexts

    @property
    def output_groups(self) -> int:
        """Number of parts of the output units with contexts for each."""
        return 1

    def output_block(self, name: str) -> int:
        """Return the number of consecutive output units that a permutation keeps together."""
        return 1

    @property
    def binds_samples(self) -> bool:
        """True if the layer applies the operators of all samples at once."""
        return False

    @property
    def binds_kernels(self) -> bool:
        """True if it applies them to a kernel for each sample, and not to their inputs alone."""
        return False

    def prepare(self) -> None:
        """Drop the references to parameters that the ordinary class keeps."""

    # Read the model in use.

    def retrieved(self, name: str = "weight") -> Any:
        """Return a weight of the model in use, W C_k or, with a base, base + R_k⁻¹ D C_k.

        Raises:
            NeedsOneModelError: If the batch mixes contexts, so that no single weight exists.
        """
        if name in self._parameters and self._parameters[name] is None:
            return None
        return self._read(name, self._retrieved)

    def _read(self, name: str, read: Callable[[str], Any]) -> Any:
        cache = self.superposition.read_cache
        if cache is None:
            return read(name)
        if name not in cache:
            cache[name] = read(name)
        return cache[name]

    def _retrieved(self, name: str) -> Tensor:
        self.note_use()
        state = self.superposition
        if isinstance(state.selection, EachSample):
            raise self._needs_one_model(name)
        if isinstance(state.selection, Mixture):
            return self._retrieved_mixture(name, state.selection)
        if isinstance(state.selection, Base):
            base = self.base(name)
            assert base is not None
            return base.to(self.stored(name).dtype, copy=True)
        return self.model_weight(name)

    def model_weight(self, name: str) -> Tensor:
        """Retrieve a weight of one model, or of each sample's under `torch.vmap`."""
        rows = self.to_rows(name, self.stored(name))
        weight = self.from_rows(name, self.operator(name).retrieve(rows))
        outputs = self.output_operator(name)
        if outputs is not None:
            weight = self.unbind_outputs(name, outputs, weight)
        base = self.base(name)
        return weight if base is None else base + weight

    def _retrieved_mixture(self, name: str, selection: Mixture) -> Tensor:
        rows = self.to_rows(name, self.stored(name))
        num_contexts, base = self.superposition.num_contexts, self.base(name)
        rows = self.operator(name).retrieve(rows.expand(num_contexts, *rows.shape))
        contexts = self.output_contexts_for(name)
        if contexts is None:
            weight = self.from_rows(name, selection.row(rows))
        else:
            models = []
            for k, row in enumerate(rows):
                outputs = self._look_up(contexts, k, row)
                models.append(self.unbind_outputs(name, outputs, self.from_rows(name, row)))
            weight = selection.row(torch.stack(models))
        return weight if base is None else base + weight

    def add_to_model(self, name: str, context: int, weight: Tensor) -> None:
        """Add a weight to one model, W += ΔW C_k⁻¹ or, with a base, D += R_k ΔW C_k⁻¹.

        Args:
            name: Name of a superposed parameter.
            context: Index of the model, in range.
            weight: ΔW, a tensor with the shape of the parameter, in its dtype and on its device.
        """
        with torch.no_grad():
            stored, outputs = self.stored(name), self.output_contexts_for(name)
            if outputs is not None:
                weight = self.bind_outputs(name, self._look_up(outputs, context, stored), weight)
            operator = self._look_up(self.contexts_for(name), context, stored)
            stored.add_(self.from_rows(name, operator.store(self.to_rows(name, weight))))

    def entry(self, name: str, part: int = 0) -> Any:
        """Return a tensor that is not superposed: the shared one, or the entry of the model in use.

        Args:
            name: Name of a parameter or buffer.
            part: Index of the real or imaginary part of a norm layer's tensor.

        Raises:
            MixedBatchError: If it has an entry per model, and the batch mixes contexts outside a
                call of the network.
        """
        return self._read(name, lambda name: self._entry(name, part))

    def _entry(self, name: str, part: int) -> Tensor | None:
        state = self.superposition
        table = self.table(name)
        if table is None:
            return None
        if name in state.per_context:
            self.note_use()
            if isinstance(state.selection, Base):
                table = self._buffers[base_name(name)]
                assert table is not None
            else:
                assert not isinstance(state.selection, PerSample)  # see `note_use`
                table = state.selection.row(table)
        return table if state.parts == 1 else table[part]

    def set_entry(self, name: str, context: int, value: Tensor) -> None:
        """Set the entry of one model in a table."""
        table = self.table(name)
        assert table is not None
        table[context].copy_(value)

    @contextmanager
    def read_once(self, **substitutes: Any) -> Iterator[dict[str, Any]]:
        """Read each attribute of the model in use once only, or replace it with a substitute."""
        state = self.superposition
        cache = state.read_cache = dict(substitutes)
        try:
            yield cache
        finally:
            state.read_cache = None

    # Change the model in use.

    def select(self, selection: Selection) -> None:
        """Use another model from now on, and cache its operators."""
        state = self.superposition
        state.selection = selection
        state.operators, state.output_operators, state.bound_bases = {}, {}, {}
        if isinstance(selection, Mixture | Base | EachSample) or (
            isinstance(selection, PerSample) and not self.binds_samples
        ):
            return
        for name in state.superposed:
            like = self.stored(name).detach()
            # Autograd refuses to save inference tensors for a later backward pass.
            with torch.inference_mode(False):
                for cache, contexts in (
                    (state.operators, self.contexts_for(name)),
                    (state.output_operators, self.output_contexts_for(name)),
                ):
                    # Learned contexts change.
                    if contexts is not None and next(contexts.parameters(), None) is None:
                        operator = self._look_up(contexts, selection.index, like)
                        cache[name] = CachedOperator(operator, like.dtype, like.device)

    def operator(self, name: str = "weight") -> Operator:
        """Return the operator of the model or models in use.

        It is cached, and refreshed when the dtype or device of the parameter changes, as under
        `functional_call` and `load_state_dict(…, assign=True)`. Learned contexts have a new one
        at each use.
        """
        state, stored = self.superposition, self._parameters[name]
        assert stored is not None
        if name not in state.operators:
            if isinstance(state.selection, EachSample):
                raise self._needs_one_model(name)
            return self._look_up(self.contexts_for(name), self._index(stored), stored.detach())
        cached = state.operators[name]
        if cached.dtype == stored.dtype and cached.device == stored.device:
            return cached.operator
        self.select(state.selection)
        return state.operators[name].operator

    def output_operator(self, name: str = "weight") -> Operator | None:
        """Return the operator R of the model or models in use, or None if there is none."""
        state, stored = self.superposition, self._parameters[name]
        contexts = self.output_contexts_for(name)
        if contexts is None:
            return None
        assert stored is not None
        if name not in state.output_operators:
            return self._look_up(contexts, self._index(stored), stored.detach())
        cached = state.output_operators[name]
        if cached.dtype == stored.dtype and cached.device == stored.device:
            return cached.operator
        self.select(state.selection)
        return state.output_operators[name].operator

    def _index(self, stored: Tensor) -> int | Tensor:
        selection = self.superposition.selection
        if isinstance(selection, One):
            return selection.current
        if isinstance(selection, PerSample):
            return selection.index
        return torch.arange(self.superposition.num_contexts, device=stored.device)

    def _look_up(self, contexts: Contexts, index: int | Tensor, like: Tensor) -> Operator:
        """Return the operator of the contexts `index`, with a batch dimension for groups."""
        num_contexts = self.superposition.num_contexts
        groups = contexts.num_contexts // num_contexts
        if groups > 1:  # those of a model are consecutive, so that more models can be added
            if isinstance(index, Tensor):
                index = index.to(like.device).unsqueeze(-1)
            index = index * groups + torch.arange(groups, device=like.device)
        return contexts.operator(index, like, check=False)  # use_context has checked it

    def note_use(self) -> None:
        """Record the model that a forward pass uses; see `RecomputeGuard.note`.

        Raises:
            MixedBatchError: If the batch mixes contexts, and this is no call of the whole network.
        """
        state = self.superposition
        if isinstance(state.selection, PerSample):
            raise MixedBatchError(
                f"layer '{state.name}' is used outside a call of the network that use_context was "
                "given, alone or in a part that is recomputed, and the batch mixes contexts; give "
                "use_context the module that you call, and checkpoint only the whole call."
            )
        if not torch.compiler.is_compiling():
            state.guard.note(state.selection, state.name)

    def _needs_one_model(self, name: str) -> NeedsOneModelError:
        return NeedsOneModelError(
            f"'{name}' of layer '{self.superposition.name}' is read as one tensor, but the batch "
            "mixes contexts; call the network once per context, or exclude the layer."
        )

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Save what is stored: a class with code of its own would save the model in use."""
        nn.Module._save_to_state_dict(self, destination, prefix, keep_vars)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        fit_smaller_state(self, state_dict, prefix)
        self.superposition.loading = True
        try:
            super()._load_from_state_dict(state_dict, prefix, *args)
        finally:
            self.superposition.loading = False

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> Any:
        def convert(value: Tensor) -> Tensor:
            # `Tensor.to(torch.float64)` discards the imaginary part of a complex weight. As a
            # matrix it has no memory format: both parts of a number must stay together.
            if not value.is_complex():
                return fn(value)
            parts = fn(torch.view_as_real(value).reshape(-1, 2)).reshape(*value.shape, 2)
            if parts.dtype not in (torch.float32, torch.float64):
                raise TypeError(
                    f"layer '{self.superposition.name}' is complex, and torch has no complex dtype "
                    f"for {parts.dtype}; use float32 or float64."
                )
            return torch.view_as_complex(parts)

        super()._apply(convert, *args, **kwargs)  # type: ignore[no-untyped-call]
        self.select(self.superposition.selection)  # for the new dtype and device
        return self
