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
        self._net = net
        self._attributes = _attributes(net)
        modules = [*net.modules()]
        self._own = [(x, dict(x)) for module in modules for x in (vars(module), module._buffers)]
        tables = [
            module._buffers.get(name)
            for module in modules
            if isinstance(module, Layer) and module.training  # a base is large, and stays
            for name in module.superposition.per_context
        ]
        self._copies = {
            id(x): (x, x.clone())
            for x in [*tables, *(x for leaves in self._attributes.values() for x in leaves)]
            if isinstance(x, Tensor) and not isinstance(x, nn.Parameter)
        }

    def kept(self) -> dict[tuple[str, int], Tensor]:
        """Return the tensors that modules have set or changed since, by attribute and number.

        Those that belong to models are left out.
        """
        found = {}
        for name, leaves in _attributes(self._net).items():
            for i, x in enumerate(leaves):
                if not isinstance(x, Tensor) or isinstance(x, nn.Parameter):
                    continue
                if id(x) not in self._copies:
                    found[name, i] = x
                elif not _is_equal(*self._copies[id(x)]):  # `restore` changes it back
                    found[name, i] = x.clone()
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


def _attributes(net: nn.Module) -> dict[str, list[Any]]:
    """Return what modules hold, by name: attributes, and buffers that are not of layers."""
    seen: dict[int, int] = {}
    found = {}
    for path, module in net.named_modules():
        if not isinstance(module, (Contexts, ModelRecord)):
            buffers = {} if isinstance(module, Layer) else module._buffers
            for name, value in (vars(module) | buffers).items():
                if name not in _OF_TORCH:
                    found[f"{path}.{name}".lstrip(".")] = flatten(value, seen, _DEPTH)
    return found


def _is_equal(x: Tensor, y: Tensor) -> bool:
    """Return True if tensors are equal; BatchNorm does not count its changes as versions."""
    return not has_values(x) or torch.equal(x, y)


def has_values(x: Tensor) -> bool:
    """Return False for a tensor without data, such as a meta tensor."""
    return not x.is_meta and not isinstance(x, FakeTensor)
