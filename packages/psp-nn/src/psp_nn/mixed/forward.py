"""The `forward` of a network while its batch mixes contexts."""

import inspect
from collections.abc import Hashable, Mapping
from types import MethodType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.nn.modules.module import _has_any_global_hook

from psp_nn.layers.layer import Layer
from psp_nn.layers.recompute_guard import inside_mixed_call
from psp_nn.layers.selection import MixedBatchError, One, PerSample
from psp_nn.layers.using import using
from psp_nn.mixed.at_once import at_once
from psp_nn.mixed.by_context import by_context
from psp_nn.mixed.call import Call
from psp_nn.mixed.module_state import has_values
from psp_nn.mixed.rehearsal import Plan, couples_samples, rehearse

_plans: WeakKeyDictionary[nn.Module, dict[Hashable, Plan]] = WeakKeyDictionary()
"""Plans of networks by the kind of call."""

MANY_SAMPLES, MANY_IMAGES = 128, 8
"""Samples per context from which on one call for each context takes less time than one of all.

Kernels of each image cost more than inputs bound for each sample; see `psp_nn.benchmark`.
"""


class MixedForward:
    """The `forward` of a network while its batch mixes contexts.

    Args:
        net: The network.
        batch: Context of each sample.
        batch_dim: See `use_context`.

    Raises:
        ValueError: If `batch_dim` is negative or names what is no argument of the network.
    """

    def __init__(
        self, net: nn.Module, batch: PerSample, batch_dim: int | Mapping[str, int | None]
    ) -> None:
        own: Any = vars(net).get("forward")
        self._own: Any = own._own if isinstance(own, MixedForward) else own
        self.__wrapped__ = self._own or MethodType(type(net).forward, net)  # `inspect` follows it
        self._net, self._batch, self._batch_dim = net, batch, batch_dim
        parameters = inspect.signature(self.__wrapped__).parameters
        self._names = [x.name for x in parameters.values() if x.kind <= x.POSITIONAL_OR_KEYWORD]
        dims = batch_dim if isinstance(batch_dim, Mapping) else {}
        for dim in [*dims.values()] if dims is batch_dim else [batch_dim]:
            if isinstance(dim, int) and dim < 0:
                raise ValueError(f"batch_dim must be 0 or more, but is {dim}.")
        for name in dims:
            if name not in parameters and all(x.kind != x.VAR_KEYWORD for x in parameters.values()):
                raise ValueError(
                    f"use_context: batch_dim names {name!r}, which is no argument of "
                    f"{type(net).__name__}.forward; choose from {', '.join(parameters)}."
                )

    @torch.compiler.disable(reason="a batch that mixes contexts runs outside of compiled code")  # type: ignore[untyped-decorator]
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the network with each sample's model.

        Raises:
            MixedBatchError: If it cannot serve this batch.
        """
        net, batch = self._net, self._batch
        layers = [
            module
            for module in net.modules()
            if isinstance(module, Layer) and module.superposition.selection is batch
        ]
        if not layers:  # another selection has replaced this one, or the network calls itself
            return self.__wrapped__(*args, **kwargs)
        _check_hooks(net)
        names = self._names[: len(args)]
        names += [f"argument {i}" for i in range(len(names), len(args))] + [*kwargs]
        values, own = [*args, *kwargs.values()], self._batch_dim
        dims = [own.get(name, 0) if isinstance(own, Mapping) else own for name in names]
        call = Call(self.__wrapped__, layers, batch, names, values, dims, len(args))
        for layer in layers:
            layer.superposition.guard.note(batch, layer.superposition.name)
        if call.count > 1:
            return self._run(call)
        one = batch.groups[0][0] if call.count else One.of(0, batch)
        with using(layers, one), inside_mixed_call():
            return self.__wrapped__(*args, **kwargs)

    def _run(self, call: Call) -> Any:
        plans = _plans.setdefault(self._net, {})
        apart = couples_samples(self._net) or _is_faster_apart(call)
        modes = tuple(module.training for module in self._net.modules())
        kind = modes, apart, tuple(call.kind)
        if kind not in plans:
            plans[kind] = rehearse(self._net, call, apart=apart)
        layout, is_at_once = plans[kind]
        try:
            with inside_mixed_call():
                if is_at_once:
                    return at_once(call, layout)[0]
                return by_context(call, layout, call.batch.groups)[0]
        except Exception:
            plans.pop(kind, None)  # the network may have changed since the rehearsal
            raise

    def remove_from(self, net: nn.Module) -> None:
        """Give a network its own `forward` back."""
        if self._own is None:
            del vars(net)["forward"]
        else:
            vars(net)["forward"] = self._own


def _is_faster_apart(call: Call) -> bool:
    """Return True if one run for each context takes less time than one of all samples."""
    many = MANY_IMAGES if any(layer.binds_kernels for layer in call.layers) else MANY_SAMPLES
    if call.count < many or not has_values(call.batch.index):
        return False
    return call.count >= many * len(call.batch.groups)


def _check_hooks(net: nn.Module) -> None:
    """Check that no module inside has a hook of the user's, nor all modules."""
    found = "hooks of all modules are registered" if _has_any_global_hook() else ""
    for path, module in net.named_modules():
        before, after = module._forward_pre_hooks, module._forward_hooks
        hooks = before | after | module._backward_pre_hooks | module._backward_hooks
        for hook in hooks.values() if path else ():
            if not getattr(hook, "__module__", "").startswith(("psp_nn.", "torch.nn.utils.")):
                found = f"module '{path}' has a hook"
    if found:
        raise MixedBatchError(
            f"{found}, which would not meet the samples of a batch that mixes contexts together; "
            "remove it, or make one call per context."
        )
