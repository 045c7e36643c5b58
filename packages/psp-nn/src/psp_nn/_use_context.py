"""Selecting which of the stored models a network is."""

import operator
from types import TracebackType

import torch
from torch import Tensor, nn

from psp_nn._arguments import check_net, checked_integer
from psp_nn._trial_run import check_calls
from psp_nn.layers.layer import Layer
from psp_nn.layers.selection import One, PerSample, Selection


def use_context(net: nn.Module, context: int | Tensor, *, batch_dim: int = 0) -> "ContextInUse":
    """Let a superposed network be one of its models, or another one for each sample.

    It takes effect at once and stays, or, in a `with` statement, until the end of that.

    Args:
        net: A network that `superpose` made, or a part of one.
        context: Which model: an int for the whole batch, or a LongTensor of shape (batch,) with
            one index per sample.
        batch_dim: For one index per sample, the dimension along which the samples lie in the
            input of every layer, for example 1 for a Transformer that takes (length, batch,
            features). It is never guessed: a layer whose input has another length there, and an
            attention layer that declares another dimension, refuse the batch by name. Where a
            layer's input has other dimensions as long as the batch, `net` is tried once with one
            sample more, and refuses the batch if a layer would.

    Returns:
        A context manager that, on exit, brings back what was in use before. It serves one `with`
        statement, and no later selection may come between.

    Raises:
        IndexError: If an index is not in 0..num_contexts-1.
        TypeError: If `net` is no network, `context` neither an int nor a LongTensor, or
            `batch_dim` no int.
        ValueError: If nothing in `net` is superposed, a tensor has more than one dimension or no
            values, or `batch_dim` is negative.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import superpose, use_context
        >>> net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Tanh())
        >>> net = superpose(net, family=BinaryContexts, num_contexts=50, seed=0)
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
    selection = _selection(context, layers, batch_dim, device)
    before = [(layer, layer.superposition.selection) for layer in layers]
    try:
        for layer in layers:
            layer.select(selection)
    except BaseException:
        _bring_back(before)
        raise
    checked = check_calls(net, [net] if isinstance(selection, PerSample) else [])
    return ContextInUse(net, selection, before, checked)


def superposed_layers(net: nn.Module) -> list[Layer]:
    """All superposed layers of a network, in its order."""
    return [module for module in net.modules() if isinstance(module, Layer)]


def checked_layers(who: str, argument: str, net: nn.Module) -> list[Layer]:
    """All superposed layers of an argument, of which there must be some.

    Raises:
        TypeError: If it is no network.
        ValueError: If it has none.
    """
    check_net(argument, net)
    layers = superposed_layers(net)
    if not layers:
        raise ValueError(
            f"{who}: nothing in this {type(net).__name__} is superposed; call superpose first and "
            f"pass what it returns as {argument}."
        )
    return layers


class ContextInUse:
    """What `use_context` returns: `with` brings back, on exit, what was in use before."""

    def __init__(
        self,
        net: nn.Module,
        selection: Selection,
        before: list[tuple[Layer, Selection]],
        checked: list[nn.Module],
    ) -> None:
        """Remember what to bring back."""
        self._net = net
        self._selection = selection
        self._before = before
        self._checked = checked
        self._entered = False

    def __enter__(self) -> nn.Module:
        """The network.

        Raises:
            RuntimeError: If this has been entered before, or another context is in use by now.
        """
        if self._entered or any(
            layer.superposition.selection is not self._selection for layer, _ in self._before
        ):
            raise RuntimeError(
                "use_context took effect when it was called, and something else has been selected "
                "since then; write `with use_context(net, context):` where the context is meant."
            )
        self._entered = True
        return self._net

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Bring back what was in use before."""
        _bring_back(self._before)
        check_calls(self._net, self._checked)


def _bring_back(before: list[tuple[Layer, Selection]]) -> None:
    for layer, selection in before:
        layer.select(selection)


def _selection(
    context: int | Tensor, layers: list[Layer], batch_dim: int, device: torch.device
) -> Selection:
    batch_dim = checked_integer("batch_dim", batch_dim, 0)
    num_contexts = min(layer.superposition.num_contexts for layer in layers)
    if not isinstance(context, Tensor):
        try:
            index = operator.index(context)
        except TypeError:
            index = None
        if index is None or isinstance(context, bool):
            raise TypeError(
                f"context must be an int or a LongTensor, but {context!r} is a "
                f"{type(context).__name__}."
            )
        _check_range(index, index, num_contexts)
        return One.of(index)
    if context.dtype != torch.int64:
        raise TypeError(
            f"context must be an int or a LongTensor, but is a tensor of {context.dtype}; "
            "convert it with .long()."
        )
    if context.layout is not torch.strided or (context.is_meta and device.type != "meta"):
        raise ValueError(
            f"context has no values that can be read: it is {context.layout} on {context.device}; "
            f"pass a dense LongTensor on {device}."
        )
    if context.dim() > 1:
        raise ValueError(
            f"context has shape {tuple(context.shape)}; pass an int, or a LongTensor with one "
            "index per sample, shape (batch,)."
        )
    values = _innermost(context)
    if values.numel() and _readable(values):
        low, high = (int(bound) for bound in values.aminmax())
        _check_range(low, high, num_contexts)
    if context.dim():
        return PerSample(context.to(device, copy=True), batch_dim)  # the caller's may change
    if values is context and _readable(context):
        return One.of(int(context))
    return One.of(context)


def _check_range(low: int, high: int, num_contexts: int) -> None:
    if low >= 0 and high < num_contexts:
        return
    index = low if low < 0 else high
    remedy = (
        "negative indices do not count from the end."
        if index < 0
        else f"superpose the network with num_contexts={index + 1} or more to use it."
    )
    raise IndexError(
        f"context={index} is not one of the {num_contexts} contexts 0..{num_contexts - 1}; {remedy}"
    )


def _innermost(context: Tensor) -> Tensor:
    """The tensor inside functorch's wrappers, whose values can be read."""
    while torch._C._functorch.is_functorch_wrapped_tensor(context):
        context = torch._C._functorch.get_unwrapped(context)
    return context


def _readable(context: Tensor) -> bool:
    return type(context) is Tensor and not context.is_meta and not torch.compiler.is_compiling()
