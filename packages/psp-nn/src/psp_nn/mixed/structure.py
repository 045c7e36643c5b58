"""Tensors inside structures: containers, model outputs, caches and attributes of modules."""

import gc
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from torch import Tensor, nn

from psp_nn.layers.selection import MixedBatchError

_OPAQUE = (nn.Module, type, Enum, ModuleType, FunctionType, MethodType, BuiltinFunctionType)


@dataclass(frozen=True)
class Container:
    """A container or object, in front of its parts in a flat structure."""

    value: Any = field(compare=False)
    form: tuple[Any, ...]
    """Type and keys, and its number if it has occurred before and its parts do not follow."""


def flatten(value: Any, seen: dict[int, int], depth: int | None = None) -> list[Any]:
    """Return the tensors and other leaves of a structure, with its containers in front.

    Args:
        value: The structure.
        seen: Number of each container that has occurred, by its id.
        depth: How many objects inside each other are searched; None for all of them, in which no
            leaf may hold tensors.

    Raises:
        MixedBatchError: If a leaf holds tensors.
    """
    contents = _parts(value)
    if depth is None and isinstance(value, (deque, set)):
        contents = None  # a set has no order
    if contents is None or (depth == 0 and _is_object(value)):
        if depth is None and not isinstance(value, (Tensor, *_OPAQUE)):
            _check_leaf(value)
        return [value]
    if id(value) in seen:
        return [Container(value, (type(value), (), seen[id(value)]))]
    if not isinstance(value, tuple):
        seen[id(value)] = len(seen)
    leaves: list[Any] = [Container(value, (type(value), tuple(contents), None))]
    for part in contents.values():
        leaves += flatten(part, seen, depth and depth - _is_object(value))
    return leaves


def rebuild(leaves: Iterator[Any]) -> Any:
    """Return the structure with these leaves, in the containers that stand in front of them."""
    leaf = next(leaves)
    if not isinstance(leaf, Container):
        return leaf
    value, (_, keys, again) = leaf.value, leaf.form
    if again is not None:
        return value
    parts = {key: rebuild(leaves) for key in keys}
    if not isinstance(value, tuple):
        put(value, parts)
        return value
    if all(part is before for part, before in zip(parts.values(), value, strict=True)):
        return value
    make: Any = type(value)
    return make(*parts.values()) if hasattr(value, "_fields") else make(parts.values())


def put(value: Any, parts: dict[Any, Any]) -> None:
    """Replace the parts of a container or object."""
    now = _parts(value)
    assert now is not None
    if [*now] == [*parts] and all(now[key] is part for key, part in parts.items()):
        return
    value = vars(value) if _is_object(value) else value
    if isinstance(value, dict):
        for key in value.keys() - parts.keys():
            del value[key]
        for key, part in parts.items():
            value[key] = part
    else:
        value.clear()
        (value.update if isinstance(value, set) else value.extend)(parts.values())


def _parts(value: Any) -> dict[Any, Any] | None:
    """Return the parts of a container or object by key or attribute, and None for a leaf."""
    if isinstance(value, (list, tuple, deque, set)):
        return dict(enumerate(value))
    if isinstance(value, dict):
        return dict(value)
    return dict(vars(value)) if _is_object(value) else None


def _is_object(value: Any) -> bool:
    """Return True for an object whose attributes are parts, such as the cache of a model."""
    others = (Tensor, dict, list, tuple, deque, set, *_OPAQUE)
    return hasattr(value, "__dict__") and not isinstance(value, others)


def _check_leaf(value: Any) -> None:
    if any(isinstance(part, Tensor) for part in gc.get_referents(value)):
        raise MixedBatchError(
            f"a {type(value).__name__} holds tensors, in which a batch that mixes contexts does "
            "not find the samples; pass and return tensors in a tuple, list, dict, or object with "
            "attributes."
        )


def same_leaf(*values: Any) -> Any:
    """Return what must be the same at one place of several results, and is no tensor.

    Raises:
        MixedBatchError: If it differs.
    """
    if all(is_equal(value, values[0]) for value in values):
        return values[0]
    differs = f"is {' for some samples and '.join(map(repr, values[:2]))} for others"
    if any(isinstance(value, (Container, Tensor)) for value in values):
        differs = "differs in form between samples"
    raise MixedBatchError(
        f"a result {differs}, but the batch mixes contexts; return a tensor with an entry for each "
        "sample, or make one call per context."
    )


def is_equal(x: Any, y: Any) -> bool:
    """Return True if leaves are the same; an array has no single answer, and is not."""
    try:
        return x is y or bool(x == y)
    except Exception:
        return False
