"""Attributes and buffers of a network's modules, which a rehearsal leaves as they were."""

from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor

from psp_nn.layers.layer import Layer


class ModuleState:
    """State of all modules of a network at one time."""

    def __init__(self, net: nn.Module) -> None:
        self._modules: list[tuple[str, nn.Module, dict[str, Any], dict[str, Any]]] = []
        self._buffers: list[tuple[Tensor, Tensor]] = []
        for path, module in net.named_modules():
            buffers = dict(module._buffers)
            self._modules.append((path, module, dict(vars(module)), buffers))
            names: Any = buffers
            if isinstance(module, Layer):  # its base may be large, and does not change
                names = module.superposition.per_context if module.training else ()
            values = [buffers[name] for name in names if buffers.get(name) is not None]
            self._buffers += [(x, x.clone()) for x in values]

    def kept(self) -> dict[str, Tensor]:
        """Return the tensors that modules have set or changed since, by name.

        Those that belong to models are left out.
        """
        changed = {id(x) for x, before in self._buffers if not _is_equal(x, before)}
        found = {}
        for path, module, attributes, buffers in self._modules:
            before = {**attributes, **buffers}
            for name, value in [*vars(module).items(), *module._buffers.items()]:
                is_new = before.get(name) is not value or id(value) in changed
                if isinstance(value, Tensor) and is_new and not isinstance(module, Layer):
                    found[f"{path}.{name}".lstrip(".")] = value
        return found

    @torch.no_grad()
    def restore(self) -> None:
        """Restore the state."""
        for _, module, attributes, buffers in self._modules:
            vars(module).clear()
            vars(module).update(attributes)
            module._buffers.clear()
            module._buffers.update(buffers)
        for value, before in self._buffers:
            if not _is_equal(value, before):
                value.copy_(before)


def _is_equal(x: Tensor, y: Tensor) -> bool:
    """Return True if tensors are equal; BatchNorm does not count its changes as versions."""
    return not has_values(x) or torch.equal(x, y)


def has_values(x: Tensor) -> bool:
    """Return False for a tensor without data, such as a meta tensor."""
    return not x.is_meta and not isinstance(x, FakeTensor)
