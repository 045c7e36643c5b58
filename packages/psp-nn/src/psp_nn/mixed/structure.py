"""Tensors inside nested arguments and results: containers, model outputs and caches."""

import copy
import gc
from collections.abc import Callable
from enum import Enum
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from torch import Tensor, nn

from psp_nn.layers.selection import MixedBatchError

OPAQUE = (nn.Module, type, Enum, ModuleType, FunctionType, MethodType, BuiltinFunctionType)


def same_leaf(*values: Any) -> Any:
    """Return what is no tensor, and must be the same at the same place in structures of one form.

    Raises:
        MixedBatchError: If it differs, or holds tensors in a container of an unknown form.
    """
    first = values[0]
    if not isinstance(first, OPAQUE) and any(
        isinstance(part, Tensor) for part in gc.get_referents(first)
    ):
        raise MixedBatchError(
            f"a {type(first).__name__} holds tensors, in which a batch that mixes contexts does "
            "not find the samples; pass and return tensors in a tuple, list, dict, or object with "
            "attributes."
        )
    if not all(_is_equal(value, first) for value in values):
        raise MixedBatchError(
            f"a result is {' for some samples and '.join(map(repr, values[:2]))} for others, but "
            "the batch mixes contexts; return a tensor with an entry for each sample, or make one "
            "call per context."
        )
    return first


def _is_equal(x: Any, y: Any) -> bool:
    """Return True if leaves are the same; an array has no single answer, and is not."""
    try:
        return x is y or bool(x == y)
    except Exception:
        return False


class StructureMap:
    """Application of functions to the tensors in structures, which are copied.

    Structures are tensors, lists, tuples, dictionaries and objects with attributes, such as the
    caches of language models. Everything else is a leaf.

    Args:
        into: By the id of a list, dictionary or object, the one to fill in place of a copy.
        leaf: Function of the leaves.

    Attributes:
        originals: By the id of each copy, the original, to pass as `into` later.
    """

    def __init__(
        self, into: dict[int, Any] | None = None, leaf: Callable[..., Any] = same_leaf
    ) -> None:
        self.originals: dict[int, Any] = {}
        self._into = into or {}
        self._leaf = leaf
        self._done: dict[int, Any] = {}
        self._alive: list[Any] = []  # so that no id is used again

    def __call__(self, function: Callable[..., Any], *values: Any) -> Any:
        """Apply a function to the tensors at the same place in structures of one form.

        Args:
            function: Takes one tensor of each structure.
            values: The structures.

        Raises:
            MixedBatchError: If the structures differ in form.
        """
        first = values[0]
        if any(_form(value) != _form(first) for value in values[1:]):
            raise MixedBatchError(
                "results of different samples differ in form, but the batch mixes contexts; make "
                "one call per context."
            )
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
            for key in copied.keys() - first.keys():
                del copied[key]
            if getattr(first, "__dict__", None) is first:
                copied.__dict__ = copied  # its keys are its attributes
        elif hasattr(first, "__dict__") and not isinstance(first, OPAQUE):
            copied = self._copy(first)
            for name in list(vars(first)):
                parts = [vars(value)[name] for value in values]
                vars(copied)[name] = self(function, *parts)
            for name in vars(copied).keys() - vars(first).keys():
                del vars(copied)[name]
        else:
            return self._leaf(*values)
        return copied

    def _copy(self, value: Any) -> Any:
        copied = self._into[id(value)] if id(value) in self._into else copy.copy(value)
        self._done[id(value)] = copied
        self.originals[id(copied)] = value
        self._alive += [value, copied]
        return copied


def leaves(value: Any) -> list[Any]:
    """Return the tensors and other leaves of a structure, in order."""
    found: list[Any] = []

    def record(x: Any) -> Any:
        found.append(x)
        return x

    StructureMap(leaf=record)(record, value)
    return found


def _form(value: Any) -> Any:
    """Return what structures of one form have in common."""
    if isinstance(value, Tensor):
        return Tensor
    if isinstance(value, dict):
        return type(value), list(value)
    if isinstance(value, (list, tuple)):
        return type(value), len(value)
    return type(value), set(getattr(value, "__dict__", ()))
