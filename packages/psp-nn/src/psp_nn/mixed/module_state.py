"""Attributes and buffers of a network's modules, which a rehearsal leaves as they were."""

from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor

from psp_contexts import Contexts
from psp_nn.layers.layer import Layer
from psp_nn.layers.model_record import ModelRecord
from psp_nn.mixed.structure import flatten, put, rebuild

_OF_TORCH = {*vars(nn.Module()), "superposition"}
"""Attributes of every module in which no state of a call is kept, besides buffers."""

_DEPTH = 2
"""How many objects inside each other are searched: a cache, and the layers of a cache."""


class ModuleState:
    """State of all modules of a network at one time."""

    def __init__(self, net: nn.Module) -> None:
        self._net, self._attributes = net, _attributes(net, tables=True)
        self._own = [
            (x, dict(x)) for module in net.modules() for x in (vars(module), module._buffers)
        ]
        self._copies = {id(x): (x, x.clone()) for x in _tensors(self._attributes).values()}

    def kept(self) -> dict[tuple[str, int], Tensor]:
        """Return the tensors that modules have set or changed, by attribute and place in it.

        Tables with an entry for each model are left out.
        """
        found = {}
        for key, x in _tensors(_attributes(self._net, tables=False)).items():
            if id(x) not in self._copies:
                found[key] = x
            elif not _is_equal(*self._copies[id(x)]):
                found[key] = x.clone()  # `restore` changes it back
        return found

    @torch.no_grad()
    def restore(self) -> None:
        """Restore the state."""
        for own, before in self._own:
            put(own, before)
        for leaves in self._attributes.values():
            rebuild(iter(leaves))
        for x, values in self._copies.values():
            if not _is_equal(x, values):
                x.copy_(values)


def _attributes(net: nn.Module, *, tables: bool) -> dict[str, list[Any]]:
    """Return the leaves of what modules hold by name, with the tables of models or without."""
    seen: dict[int, int] = {}
    found = {}
    for path, module in net.named_modules():
        if isinstance(module, (Contexts, ModelRecord)):
            continue
        buffers = module._buffers
        if isinstance(module, Layer):  # its base is large, and only training changes its tables
            names = module.superposition.per_context if tables and module.training else ()
            buffers = {name: buffers[name] for name in names if name in buffers}
        for name, value in (vars(module) | buffers).items():
            if name not in _OF_TORCH:
                found[f"{path}.{name}".lstrip(".")] = flatten(value, seen, _DEPTH)
    return found


def _tensors(attributes: dict[str, list[Any]]) -> dict[tuple[str, int], Tensor]:
    return {
        (name, i): x
        for name, leaves in attributes.items()
        for i, x in enumerate(leaves)
        if isinstance(x, Tensor) and not isinstance(x, nn.Parameter)
    }


def _is_equal(x: Tensor, y: Tensor) -> bool:
    """Return True if tensors are equal; BatchNorm does not count its changes as versions."""
    return not has_values(x) or torch.equal(x, y)


def has_values(x: Tensor) -> bool:
    """Return False for a tensor without data, such as a meta tensor."""
    return not x.is_meta and not isinstance(x, FakeTensor)
