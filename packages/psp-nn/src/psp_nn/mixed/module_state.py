"""Attributes and buffers of a network's modules, which a rehearsal leaves as they were."""

from collections import deque
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor

from psp_contexts import Contexts
from psp_nn.layers.layer import Layer
from psp_nn.layers.model_record import ModelRecord
from psp_nn.mixed.structure import OPAQUE

_OF_TORCH = {*vars(nn.Module()), "superposition"}
"""Attributes of every module in which no state of a call is kept, besides buffers."""

_DEPTH = 2
"""How many objects inside each other are searched: a cache, and the layers of a cache."""


class ModuleState:
    """State of all modules of a network at one time: attributes, and what containers hold."""

    def __init__(self, net: nn.Module) -> None:
        self._net = net
        self._contents: list[tuple[Any, Any]] = []
        self._before: dict[str, Tensor] = {}
        self._copies: list[tuple[Tensor, Tensor]] = []
        for name, value in _parts(net):
            if isinstance(value, Tensor):
                self._before[name] = value
                self._copies.append((value, value.clone()))
            else:
                self._contents.append((value, _contents(value)))
        for module in net.modules():
            if isinstance(module, Layer):  # its base may be large, and does not change
                state = module.superposition
                values = [module._buffers.get(name) for name in state.per_context]
                self._copies += [
                    (x, x.clone()) for x in values if x is not None and module.training
                ]

    def kept(self) -> dict[str, Tensor]:
        """Return the tensors that modules have set or changed since, by name.

        Those that belong to models are left out.
        """
        changed = {id(x) for x, before in self._copies if not _is_equal(x, before)}
        found = {}
        for name, value in _parts(self._net):
            if isinstance(value, Tensor) and self._before.get(name) is not value:
                found[name] = value
            elif id(value) in changed:  # `restore` changes it back
                found[name] = value.clone()
        return found

    @torch.no_grad()
    def restore(self) -> None:
        """Restore the state."""
        for value, contents in self._contents:
            now = _contents(value)
            if isinstance(contents, dict):
                if [*map(id, now)] != [*map(id, contents)] or any(
                    now[key] is not contents[key] for key in now
                ):
                    value.clear()
                    value.update(contents)
            elif [*map(id, now)] != [*map(id, contents)]:
                value.clear()
                (value.update if isinstance(value, set) else value.extend)(contents)
        for value, before in self._copies:
            if not _is_equal(value, before):
                value.copy_(before)


def _contents(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else list(value)


def _parts(net: nn.Module) -> Iterator[tuple[str, Any]]:
    """Return the tensors and containers in modules, but no buffers of layers, with names."""
    seen: set[int] = set()
    for path, module in net.named_modules():
        if isinstance(module, (Contexts, ModelRecord)):
            continue
        own = vars(module)
        yield path, own
        yield path, module._buffers
        for name in own.keys() - _OF_TORCH:
            yield from _inside(f"{path}.{name}".lstrip("."), own[name], seen, 0)
        for name, value in module._buffers.items() if not isinstance(module, Layer) else ():
            yield from _inside(f"{path}.{name}".lstrip("."), value, seen, 0)


def _inside(name: str, value: Any, seen: set[int], depth: int) -> Iterator[tuple[str, Any]]:
    """Return the tensors and containers in an attribute."""
    if isinstance(value, Tensor):
        if not isinstance(value, nn.Parameter):
            yield name, value
        return
    if id(value) in seen:
        return
    items: list[tuple[str, Any]] = []
    if isinstance(value, (list, tuple, deque, set)):
        items = [(f"{name}[{i}]", part) for i, part in enumerate(value)]
    elif isinstance(value, dict):
        items = [(f"{name}[{key!r}]", part) for key, part in value.items()]
    elif hasattr(value, "__dict__") and not isinstance(value, OPAQUE) and depth < _DEPTH:
        depth, value = depth + 1, vars(value)
        items = [(f"{name}.{key}", part) for key, part in value.items()]
    else:
        return
    seen.add(id(value))
    if not isinstance(value, tuple):
        yield name, value
    for inner, part in items:
        yield from _inside(inner, part, seen, depth)


def _is_equal(x: Tensor, y: Tensor) -> bool:
    """Return True if tensors are equal; BatchNorm does not count its changes as versions."""
    return not has_values(x) or torch.equal(x, y)


def has_values(x: Tensor) -> bool:
    """Return False for a tensor without data, such as a meta tensor."""
    return not x.is_meta and not isinstance(x, FakeTensor)
