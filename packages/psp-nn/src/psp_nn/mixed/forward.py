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
from psp_nn.mixed.call import Call, read_arguments
from psp_nn.mixed.module_state import has_values
from psp_nn.mixed.rehearsal import Plan, couples_samples, rehearse

_plans: WeakKeyDictionary[nn.Module, dict[Hashable, Plan]] = WeakKeyDictionary()
"""Plans of networks by the kind of call, found in its first one."""

MANY_SAMPLES, MANY_IMAGES = 128, 8
"""Samples per context from which on one call for each context takes less time than one of all.

Kernels of each image cost more than inputs bound for each sample; see `psp_nn.benchmark`.
"""

_REASON = "a batch that mixes contexts runs outside of compiled code"


class MixedForward:
    """The `forward` of a network while its batch mixes contexts.

    The result for a sample is by definition that of a call with this sample alone and its context.
    All samples run at once under `torch.vmap`, which knows in every layer where they lie. Contexts
    of many samples, and what vmap cannot run, such as control flow that depends on values, run by
    one call for each context. The first call of a kind is rehearsed, to find out how the network
    takes samples.

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
        parameters = list(inspect.signature(self.__wrapped__).parameters.values())
        self._positional = [p.name for p in parameters if p.kind <= p.POSITIONAL_OR_KEYWORD]
        _check_dims(batch_dim, parameters, type(net).__name__)

    @torch.compiler.disable(reason=_REASON)  # type: ignore[untyped-decorator]
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the network with each sample's model.

        Raises:
            MixedBatchError: If it cannot serve this batch.
        """
        layers = [
            module
            for module in self._net.modules()
            if isinstance(module, Layer) and module.superposition.selection is self._batch
        ]
        if not layers:  # another selection has replaced this one, or the network calls itself
            return self.__wrapped__(*args, **kwargs)
        _check_hooks(self._net)
        names = self._positional[: len(args)]
        names += [f"argument {i}" for i in range(len(names), len(args))] + [*kwargs]
        values, own = [*args, *kwargs.values()], self._batch_dim
        dims = [own.get(name, 0) if isinstance(own, Mapping) else own for name in names]
        leaves, layout, kind = read_arguments(names, values, dims, len(self._batch.index))
        for layer in layers:
            layer.superposition.guard.note(self._batch, layer.superposition.name)
        if len(self._batch.index) > 1:
            forward, positional = self.__wrapped__, len(args)
            return self._run(
                Call(forward, layers, self._batch, names, positional, leaves, layout), kind
            )
        one = self._batch.groups[0][0] if len(self._batch.index) else One.of(0, self._batch)
        with using(layers, one), inside_mixed_call():
            return self.__wrapped__(*args, **kwargs)

    def remove_from(self, net: nn.Module) -> None:
        """Give a network its own `forward` back."""
        if self._own is None:
            del vars(net)["forward"]
        else:
            vars(net)["forward"] = self._own

    def _run(self, call: Call, kind: Hashable) -> Any:
        plans = _plans.setdefault(self._net, {})
        apart = couples_samples(self._net) or self._is_faster_apart(call.layers)
        kind = tuple(module.training for module in self._net.modules()), apart, kind
        if kind not in plans:
            plans[kind] = rehearse(self._net, call, apart=apart)
        layout, is_at_once = plans[kind]
        try:
            with inside_mixed_call():
                if is_at_once:
                    return at_once(call, layout)[0]
                return by_context(call, layout, self._batch.groups)[0]
        except Exception:
            plans.pop(kind, None)  # the network may have changed since the rehearsal
            raise

    def _is_faster_apart(self, layers: list[Layer]) -> bool:
        """Return True if one call for each context takes less time than one of all samples."""
        kernels = any(layer.binds_kernels for layer in layers)
        many = MANY_IMAGES if kernels else MANY_SAMPLES
        index = self._batch.index
        if len(index) < many or not has_values(index):
            return False
        return len(index) >= many * len(self._batch.groups)


def _check_hooks(net: nn.Module) -> None:
    """Check that no module inside has a hook of the user's, nor all modules.

    Raises:
        MixedBatchError: If one has.
    """
    if _has_any_global_hook():
        raise MixedBatchError(
            "hooks of all modules are registered, which would not meet the samples of a batch that "
            "mixes contexts together; remove them, or make one call per context."
        )
    for path, module in net.named_modules():
        hooks = (
            *module._forward_hooks.values(),
            *module._forward_pre_hooks.values(),
            *module._backward_hooks.values(),
            *module._backward_pre_hooks.values(),
        )
        for hook in hooks if path else ():
            if not getattr(hook, "__module__", "").startswith(("psp_nn.", "torch.nn.utils.")):
                raise MixedBatchError(
                    f"module '{path}' has a hook, which would not meet the samples of a batch that "
                    "mixes contexts together; remove it, or make one call per context."
                )


def _check_dims(
    batch_dim: int | Mapping[str, int | None], parameters: list[inspect.Parameter], net: str
) -> None:
    """Check that dimensions are not negative, and that there are arguments of these names."""
    for dim in batch_dim.values() if isinstance(batch_dim, Mapping) else [batch_dim]:
        if dim is not None and dim < 0:
            raise ValueError(f"batch_dim must be 0 or more, but is {dim}.")
    if isinstance(batch_dim, Mapping) and all(p.kind != p.VAR_KEYWORD for p in parameters):
        names = [p.name for p in parameters]
        for name in batch_dim:
            if name not in names:
                raise ValueError(
                    f"use_context: batch_dim names {name!r}, which is no argument of "
                    f"{net}.forward; choose from {', '.join(names)}."
                )
