"""The `forward` of a network while its batch mixes contexts."""

import inspect
from collections.abc import Mapping
from types import MethodType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch._C import _functorch
from torch.utils.checkpoint import _StopRecomputationError

from psp_nn._samples import Samples
from psp_nn._split_complex import real_input, real_part
from psp_nn.layers.layer import Layer
from psp_nn.layers.selection import MixedBatchError, One, PerSample
from psp_nn.layers.using import using

_vectorises: WeakKeyDictionary[nn.Module, dict[object, bool]] = WeakKeyDictionary()
"""Networks and kinds of calls that have run, with True for those that `torch.vmap` can run."""

_REASON = "a batch that mixes contexts runs outside of compiled code"


class MixedCall:
    """The `forward` of a network while its batch mixes contexts.

    The result for a sample is by definition that of a call with this sample alone and its context.
    All samples run at once under `torch.vmap`, which knows in every layer where they lie. What
    vmap cannot run, such as control flow that depends on values, runs once for each context.

    Args:
        net: The network.
        batch: Context of each sample.
        batch_dim: See `use_context`.

    Raises:
        ValueError: If `batch_dim` is negative or names what is no argument of the network.
    """

    def __init__(
        self, net: nn.Module, batch: PerSample, batch_dim: int | Mapping[str, Any]
    ) -> None:
        own: Any = vars(net).get("forward")
        self._own: Any = own._own if isinstance(own, MixedCall) else own
        self.__wrapped__ = self._own or MethodType(type(net).forward, net)  # `inspect` follows it
        self._net, self._batch, self._batch_dim = net, batch, batch_dim
        parameters = list(inspect.signature(self.__wrapped__).parameters.values())
        self._positional = [p.name for p in parameters if p.kind <= p.POSITIONAL_OR_KEYWORD]
        _check_dims(batch_dim, parameters, type(net).__name__)

    @torch.compiler.disable(reason=_REASON)  # type: ignore[untyped-decorator]
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the network with each sample's model."""
        layers = [
            module
            for module in self._net.modules()
            if isinstance(module, Layer) and module.superposition.selection is self._batch
        ]
        if not layers:  # another selection has replaced this one, or the network calls itself
            return self.__wrapped__(*args, **kwargs)
        names = self._positional[: len(args)]
        names += [f"argument {i}" for i in range(len(names), len(args))]
        dims = {name: self._dim_of(name) for name in (*names, *kwargs, "return")}
        samples = Samples(self.__wrapped__, layers, self._batch, dims, names)
        samples.check(args, kwargs)
        for layer in layers:
            layer.superposition.guard.begin(self._batch, layer.superposition.name)
        try:
            return self._run(samples, args, kwargs)
        finally:
            for layer in layers:
                layer.superposition.guard.end()

    def remove_from(self, net: nn.Module) -> None:
        """Give a network its own `forward` back."""
        if self._own is None:
            del vars(net)["forward"]
        else:
            vars(net)["forward"] = self._own

    def _dim_of(self, name: str) -> Any:
        dims = self._batch_dim
        return dims.get(name, 0) if isinstance(dims, Mapping) else dims

    def _run(self, samples: Samples, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if len(self._batch.index) < 2:
            context = self._batch.present[0] if len(self._batch.index) else 0
            with using(samples.layers, One.of(context, self._batch)):
                return self.__wrapped__(*args, **kwargs)
        known = _vectorises.setdefault(self._net, {})
        types = [*map(type, args), *((name, type(value)) for name, value in kwargs.items())]
        kind = (self._net.training, torch.is_grad_enabled(), *types)
        coupled, failed = self._couples_samples(), False
        if not coupled and known.get(kind, True) and not self._has_hooks():
            try:
                result = samples.at_once(args, kwargs, trial=kind not in known)
                if kind not in known:
                    self._check_state()
                known[kind] = True
                return result
            except (MixedBatchError, _StopRecomputationError):  # checkpointing has all it needs
                raise
            except Exception:  # vmap cannot run it, or it is wrong and fails again
                failed = True
        result = samples.by_context(args, kwargs, cut=not coupled)
        if failed:
            known[kind] = False
        return result

    def _couples_samples(self) -> bool:
        """Return True if the network normalises by the statistics of its batch."""
        return any(
            isinstance(module, nn.modules.batchnorm._BatchNorm)
            and (module.training or module._buffers["running_mean"] is None)
            for module in self._net.modules()
        )

    def _has_hooks(self) -> bool:
        """Return True if a module inside has hooks of the user's, which would meet one sample."""
        return any(
            hook not in (real_input, real_part)
            for module in self._net.modules()
            if module is not self._net
            for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
        )

    def _check_state(self) -> None:
        """Check that no module keeps a tensor of the batch for the next call.

        Raises:
            MixedBatchError: If one does.
        """
        for path, module in self._net.named_modules():
            if isinstance(module, Layer):
                continue
            for key, value in [*vars(module).items(), *module._buffers.items()]:
                if isinstance(value, torch.Tensor) and _functorch.is_batchedtensor(value):
                    raise MixedBatchError(
                        f"'{f'{path}.{key}'.lstrip('.')}' keeps a tensor of the batch between "
                        "calls, which a batch that mixes contexts does not support; pass it as an "
                        "argument and return it."
                    )


def _check_dims(
    batch_dim: int | Mapping[str, Any], parameters: list[inspect.Parameter], net: str
) -> None:
    """Check that dimensions are not negative, and that there are arguments of these names."""
    for dim in batch_dim.values() if isinstance(batch_dim, Mapping) else [batch_dim]:
        if any(d is not None and d < 0 for d in (dim if isinstance(dim, tuple) else (dim,))):
            raise ValueError(f"batch_dim must be 0 or more, but is {dim}.")
    if isinstance(batch_dim, Mapping) and all(p.kind != p.VAR_KEYWORD for p in parameters):
        names = ["return", *(p.name for p in parameters)]
        for name in batch_dim:
            if name not in names:
                raise ValueError(
                    f"use_context: batch_dim names {name!r}, which is no argument of "
                    f"{net}.forward; choose from {', '.join(names)}."
                )
