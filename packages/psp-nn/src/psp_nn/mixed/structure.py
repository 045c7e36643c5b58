"""Structures of tensors: nested containers, model outputs, caches and attributes of modules."""

import gc
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from psp_nn.layers.selection import MixedBatchError

_CONTAINERS = (list, tuple, dict, deque, set)
_CODE = (type, Enum, ModuleType, FunctionType, MethodType, BuiltinFunctionType)
_OPAQUE = (Tensor, nn.Module, *_CODE)


@dataclass(frozen=True)
class Container:
    """A container or object, in front of its parts in a flat structure."""

    value: Any = field(compare=False, repr=False)
    form: tuple[Any, ...]
    """Type, keys, and its number if it has occurred before, so that no parts follow."""


def flatten(value: Any, seen: dict[int, int], depth: int | None = None) -> list[Any]:
    """Return the leaves of a structure, with the containers in front of theirs.

    Args:
        value: The structure.
        seen: Number of each container that has occurred, by its id.
        depth: How many objects inside each other are searched. None searches all, and refuses
            tensors in containers without order or names.
    """
    parts, is_object = _parts(value), not isinstance(value, _CONTAINERS)
    is_unknown = depth is None and isinstance(value, (deque, set, PackedSequence))
    if parts is None or is_unknown or (is_object and depth == 0):
        if depth is None:
            _check_leaf(value)
        return [value]
    if id(value) in seen:
        return [Container(value, (type(value), (), seen[id(value)]))]
    if not isinstance(value, tuple):
        seen[id(value)] = len(seen)
    leaves: list[Any] = [Container(value, (type(value), tuple(parts), None))]
    for part in parts.values():
        leaves += flatten(part, seen, depth and depth - is_object)
    return leaves


def rebuild(leaves: Iterator[Any]) -> Any:
    """Return the structure of these leaves, in the containers in front of them."""
    leaf = next(leaves)
    if not isinstance(leaf, Container):
        return leaf
    value, (make, keys, again) = leaf.value, leaf.form
    parts = {key: rebuild(leaves) for key in keys}
    if again is not None or _has_parts(value, parts):
        return value
    if isinstance(value, tuple):
        return make(*parts.values()) if hasattr(value, "_fields") else make(parts.values())
    put(value, parts)
    return value


def put(value: Any, parts: dict[Any, Any]) -> None:
    """Replace the parts of a container or object."""
    if _has_parts(value, parts):
        return
    own: Any = value if isinstance(value, _CONTAINERS) else vars(value)
    if isinstance(own, dict):
        for key in own.keys() - parts.keys():
            del own[key]
        for key, part in parts.items():
            own[key] = part
    else:
        own.clear()
        (own.update if isinstance(own, set) else own.extend)(parts.values())


def _has_parts(value: Any, parts: dict[Any, Any]) -> bool:
    now = _parts(value) or {}
    return [*now] == [*parts] and all(now[key] is part for key, part in parts.items())


def _parts(value: Any) -> dict[Any, Any] | None:
    """Return the parts of a container or object by key or attribute, and None for a leaf."""
    if isinstance(value, _CONTAINERS):
        return dict(value) if isinstance(value, dict) else dict(enumerate(value))
    has_attributes = hasattr(value, "__dict__") and not isinstance(value, _OPAQUE)
    return dict(vars(value)) if has_attributes else None


def _check_leaf(value: Any) -> None:
    if isinstance(value, _OPAQUE):
        return
    if any(isinstance(part, Tensor) for part in gc.get_referents(value)):
        raise MixedBatchError(
            f"a {type(value).__name__} holds tensors, in which a batch that mixes contexts does "
            "not find the samples; pass and return padded tensors in a tuple, list, dict, or "
            "object with attributes."
        )


def same_leaf(*values: Any) -> Any:
    """Return what is no tensor, and must be the same in several results."""
    if all(is_equal(value, values[0]) for value in values):
        return values[0]
    raise MixedBatchError(
        f"a result is {values[0]!r:.60} for some samples and not for others, but the batch mixes "
        "contexts; return a tensor with an entry for each sample, or make one call per context."
    )


def is_equal(x: Any, y: Any) -> bool:
    """Return True if leaves are the same; an array has no single answer, and is not."""
    try:
        return x is y or bool(x == y)
    except Exception:
        return False
