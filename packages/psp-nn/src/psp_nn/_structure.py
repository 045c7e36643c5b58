"""Tensors inside nested arguments and results: containers, model outputs and caches."""

import copy
from collections.abc import Callable
from enum import Enum
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from torch import Tensor, nn

_OPAQUE = (nn.Module, type, Enum, ModuleType, FunctionType, MethodType, BuiltinFunctionType)


class StructureMap:
    """Application of functions to the tensors in structures, which are copied.

    Structures are tensors, lists, tuples, dictionaries and objects with attributes, such as the
    caches of language models. Everything else is passed on.

    Args:
        into: By the id of a list, dictionary or object, the one to fill in place of a copy.

    Attributes:
        originals: By the id of each copy, the original, to pass as `into` later.
    """

    def __init__(self, into: dict[int, Any] | None = None) -> None:
        self.originals: dict[int, Any] = {}
        self._into = into or {}
        self._done: dict[int, Any] = {}
        self._alive: list[Any] = []  # so that no id is used again

    def __call__(self, function: Callable[..., Any], *values: Any) -> Any:
        """Apply a function to the tensors at the same place in structures of one form.

        Args:
            function: Takes one tensor of each structure.
            values: The structures.
        """
        first = values[0]
        if isinstance(first, Tensor):
            return function(*values)
        if isinstance(first, tuple):
            items = [self(function, *parts) for parts in zip(*values, strict=True)]
            return type(first)(*items) if hasattr(first, "_fields") else type(first)(items)
        if id(first) in self._done:
            return self._done[id(first)]
        copied: Any
        if isinstance(first, list):
            items = [self(function, *parts) for parts in zip(*values, strict=True)]
            copied = self._copy(first)
            copied[:] = items
        elif isinstance(first, dict):
            copied = self._copy(first)
            for key in list(first):
                copied[key] = self(function, *(value[key] for value in values))
        elif hasattr(first, "__dict__") and not isinstance(first, _OPAQUE):
            copied = self._copy(first)
            for name in list(vars(first)):
                parts = [vars(value)[name] for value in values]
                vars(copied)[name] = self(function, *parts)
        else:
            return first
        return copied

    def _copy(self, value: Any) -> Any:
        copied = self._into[id(value)] if id(value) in self._into else copy.copy(value)
        self._done[id(value)] = copied
        self.originals[id(copied)] = value
        self._alive += [value, copied]
        return copied
