"""Tensors that hold all models are not replaced by one that belongs to one model."""

from typing import Any

import torch
from torch import Tensor, nn

from psp_nn.layers.selection import One
from psp_nn.layers.superposed import Superposed


class Protected(Superposed):
    """Mixin that refuses by name what would lose models, and leaves the layer as it was."""

    def table(self, name: str) -> Tensor | None:
        """Return a parameter or buffer as it is stored."""
        value: Tensor | None = self._parameters.get(name)
        return self._buffers.get(name) if value is None else value

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute, or the entry of the model in use if each model has its own tensor.

        Raises:
            RuntimeError: If a tensor of one model would replace one that holds all models.
        """
        if name == "_old_forward":  # the first thing that a hook of accelerate sets
            raise RuntimeError(
                f"layer '{self.superposition.name}' is superposed, and accelerate's hooks would "
                "move one of its models in place of all; move the whole network with to, or "
                "offload a retrieved model."
            )
        if not self._sets_entry(name, value):
            super().__setattr__(name, value)

    def _sets_entry(self, name: str, value: Any) -> bool:
        """Set the entry of the model in use; return False if an attribute has no such entries."""
        state = self.__dict__.get("superposition")
        if state is None or state.loading or name not in (*state.superposed, *state.per_context):
            return False
        if name in state.per_context and self._write_entry(name, value):
            return True
        raise RuntimeError(
            f"'{name}' of layer '{state.name}' holds all models, and cannot be replaced by that of "
            f"one; put a model in with store, or change stored('{name}') in place."
        )

    def _write_entry(self, name: str, value: Any) -> bool:
        """Copy a tensor to the entry of the model in use; return False if it does not fit."""
        state = self.superposition
        if isinstance(value, nn.Parameter) or not isinstance(state.selection, One):
            return False
        table = self.table(name)
        if table is None or state.parts > 1:
            return False
        if not isinstance(value, Tensor) or value.shape != table.shape[1:]:
            return False
        with torch.no_grad():
            index = state.selection.tensor.reshape(1).to(table.device)
            table.index_copy_(0, index, value.detach().to(table).clone().unsqueeze(0))
        return True

    def __delattr__(self, name: str) -> None:
        """Delete an attribute that does not hold all models.

        Raises:
            RuntimeError: If it holds all models, as when a parametrization takes its place.
        """
        if name in (*self.superposition.superposed, *self.superposition.per_context):
            raise self._not_computed(name)
        super().__delattr__(name)

    def register_parameter(self, name: str, param: nn.Parameter | None) -> None:
        """Add a parameter.

        Raises:
            RuntimeError: If one that holds all models would be computed from it, as by pruning
                and the older `weight_norm`; the layer stays as it was.
        """
        state = self.superposition
        for key in (*state.superposed, *state.per_context):
            if name in (f"{key}_g", f"{key}_v", f"{key}_orig"):
                read = state.last_read and state.last_read()
                if key not in self._parameters:  # they have deleted it
                    self._parameters[key] = param if name == f"{key}_orig" else read.stored
                raise self._not_computed(key)
        super().register_parameter(name, param)

    def _not_computed(self, name: str) -> RuntimeError:
        return RuntimeError(
            f"'{name}' of layer '{self.superposition.name}' holds all models, and cannot be "
            "computed from other parameters, pruned or deleted; do that to a retrieved model."
        )

    def _replicate_for_data_parallel(self) -> Any:
        """Refuse the copies of DataParallel, whose parameters are plain tensors.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError(
            f"layer '{self.superposition.name}' is superposed, which DataParallel does not "
            "support; use DistributedDataParallel, or one device."
        )
