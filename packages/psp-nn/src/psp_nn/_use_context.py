"""Select the stored model that a network uses."""

from collections.abc import Mapping
from types import TracebackType
from typing import TypeAlias

import torch
from torch import Tensor, nn

from psp_nn._context_index import (
    check_range,
    checked_layers,
    context_named,
    num_contexts_of,
    one_context,
    unwrapped,
)
from psp_nn.layers.layer import Layer
from psp_nn.layers.selection import Base, One, PerSample, Selection
from psp_nn.mixed.forward import MixedForward

Calls: TypeAlias = list[tuple[nn.Module, MixedForward]]


def use_context(
    net: nn.Module,
    context: int | str | list[str] | Tensor | None,
    *,
    batch_dim: int | Mapping[str, int | None] = 0,
) -> "ContextInUse":
    """Select the model that a superposed network uses, or one model for each sample.

    It takes effect at once and lasts, or, in a `with` statement, until the end of the block.

    Args:
        net: A network that `superpose` made, or a part of one.
        context: Index or name of the model for the whole batch, or a LongTensor of shape
            (batch,) with one index per sample, or a list with one name per sample. None selects
            the base, with its norms and biases if each model has its own.
        batch_dim: For one index per sample, the dimension along which the samples lie in the
            arguments of `net`: one for all, or a dictionary with those that are not 0, by the
            name of the argument. None is for an argument that all samples share, such as
            positions. A tensor of length 1 there is shared, too, and other lengths are refused.

    A batch that mixes contexts gives each sample what a call with this sample alone and its
    context gives, except that BatchNorm in training mode takes the samples of each context
    together. The first call of a kind is rehearsed with one model for all samples, which must give
    what a plain call gives; otherwise it is refused with a `ValueError` that names the reason.
    `net` is the module that is called: its parts cannot be called alone meanwhile.

    Returns:
        A context manager that restores the previous selection on exit. It serves one `with`
        statement, without another selection before it.

    Raises:
        IndexError: If an index is not in 0..num_contexts-1.
        TypeError: If a tensor of indices is no LongTensor.
        ValueError: If nothing in `net` is superposed, no model has that name, there is no base, a
            tensor has more than one dimension, or `batch_dim` is negative or names what is no
            argument.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import superpose, use_context
        >>> net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Tanh())
        >>> net = superpose(net, family=BinaryContexts, num_contexts=50, seed=0, base=False)
        >>> x = torch.randn(4, 3)
        >>> with use_context(net, torch.tensor([7, 0, 49, 7])):
        ...     mixed = net(x)
        >>> _ = use_context(net, 49)
        >>> torch.allclose(mixed[2], net(x)[2])
        True
    """
    layers = checked_layers("use_context", "net", net)
    parameter = next(net.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    selection = _selection(context, layers, device)
    root = unwrapped(net)
    calls = _calls(root)
    call = MixedForward(root, selection, batch_dim) if isinstance(selection, PerSample) else None
    previous = [(layer, layer.superposition.selection) for layer in layers]
    try:
        for layer in layers:
            layer.select(selection)
    except BaseException:
        _restore(previous)
        raise
    _set_calls(root, [] if call is None else [(root, call)])
    return ContextInUse(net, selection, previous, calls)


class ContextInUse:
    """Context manager returned by `use_context`; restores the previous selection on exit."""

    def __init__(
        self,
        net: nn.Module,
        selection: Selection,
        previous: list[tuple[Layer, Selection]],
        calls: Calls,
    ) -> None:
        self._net = net
        self._selection = selection
        self._previous = previous
        self._calls = calls
        self._entered = False

    def __enter__(self) -> nn.Module:
        """Return the network.

        Raises:
            RuntimeError: If this was entered before, or another context has been selected since.
        """
        if self._entered or any(
            layer.superposition.selection is not self._selection for layer, _ in self._previous
        ):
            raise RuntimeError(
                "use_context took effect when it was called, and another context has been "
                "selected since; write `with use_context(net, context):` in one statement."
            )
        self._entered = True
        return self._net

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Restore the previous selection."""
        _restore(self._previous)
        _set_calls(unwrapped(self._net), self._calls)


def _restore(previous: list[tuple[Layer, Selection]]) -> None:
    for layer, selection in previous:
        layer.select(selection)


def _calls(net: nn.Module) -> Calls:
    """Return the modules in `net` whose batches mix contexts."""
    found = [(module, vars(module).get("forward")) for module in net.modules()]
    return [(module, call) for module, call in found if isinstance(call, MixedForward)]


def _set_calls(net: nn.Module, calls: Calls) -> None:
    """Let the batches of these modules mix contexts, and those of no other module in `net`."""
    for module, call in _calls(net):
        call.remove_from(module)
    for module, call in calls:
        vars(module)["forward"] = call


def _selection(
    context: int | str | list[str] | Tensor | None,
    layers: list[Layer],
    device: torch.device,
) -> Selection:
    if context is None:
        _check_base(layers)
        return Base()
    if isinstance(context, list):
        context = torch.tensor([context_named(layers, name) for name in context])
    if not isinstance(context, Tensor):
        return One.of(one_context("use_context", layers, context))
    if context.dtype != torch.int64:
        raise TypeError(
            f"context must be an int or a LongTensor, but is a tensor of {context.dtype}; "
            "convert it with .long()."
        )
    if context.dim() > 1:
        raise ValueError(
            f"context has shape {tuple(context.shape)}; pass an int, or a LongTensor with one "
            "index per sample, shape (batch,)."
        )
    values = _unwrap(context)
    if values.numel() and _is_readable(values):
        low, high = (int(bound) for bound in values.aminmax())
        check_range(low, high, num_contexts_of(layers))
    if context.dim():
        return PerSample(context.to(device, copy=True))  # the caller's may change
    if values is context and _is_readable(context):
        return One.of(int(context))
    return One.of(context)


def _check_base(layers: list[Layer]) -> None:
    for layer in layers:
        for name in layer.superposition.superposed:
            if layer.base(name) is None:
                raise ValueError(
                    "use_context: context=None is the base, but layer "
                    f"'{layer.superposition.name}' has none; superpose with base=True, or select "
                    "a model."
                )


def _unwrap(context: Tensor) -> Tensor:
    """Return the tensor inside functorch's wrappers, whose values can be read."""
    while torch._C._functorch.is_functorch_wrapped_tensor(context):
        context = torch._C._functorch.get_unwrapped(context)
    return context


def _is_readable(context: Tensor) -> bool:
    return type(context) is Tensor and not context.is_meta and not torch.compiler.is_compiling()
