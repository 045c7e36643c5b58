"""Modules that are rebuilt from a spec, so that a state dict stores the spec alone."""

import json
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn


def as_bytes(state: Tensor) -> bytes:
    """Return the bytes that a tensor holds, of any dtype: a state dict may have been averaged."""
    return bytes(round(value) for value in state.tolist())


class SpecModule(nn.Module, ABC):
    """A module that saves its spec and refuses the state of a module with another spec."""

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """Return the arguments that rebuild this module, as plain JSON values."""

    def get_extra_state(self) -> Tensor:
        """Return the spec as bytes: all that a state dict stores of fixed contexts."""
        return torch.frombuffer(bytearray(json.dumps(self.spec()).encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Refuse the state of other contexts.

        Raises:
            ValueError: If `state` has another spec, or is not the state of contexts.
        """
        try:
            saved = dict(json.loads(as_bytes(state)))
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError(
                f"state is no spec of contexts, but a tensor of {state.dtype} and shape "
                f"{tuple(state.shape)}; pass the result of get_extra_state."
            ) from error
        spec = self.spec()
        if saved != spec:
            raise ValueError(
                f"the state was saved with other contexts, {_differences(saved, spec)}, but this "
                f"module has {_differences(spec, saved)}; build the module with the saved ones."
            )

    def extra_repr(self) -> str:
        """Return the arguments for `repr`."""
        spec = self.spec()
        return ", ".join(f"{key}={value!r}" for key, value in spec.items() if key != "family")


def _differences(spec: dict[str, Any], other: dict[str, Any]) -> str:
    """Return the entries that differ from another spec, as text."""
    keys = [key for key in {**spec, **other} if spec.get(key) != other.get(key)]
    return ", ".join(f"{key}={spec.get(key)!r}" for key in keys)
