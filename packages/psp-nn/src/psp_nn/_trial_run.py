"""Noticing a network that moves its samples where a batch that mixes contexts hides it."""

import copy
import itertools
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map

from psp_nn.layers.layer import Layer
from psp_nn.layers.selection import MisplacedBatchError, PerSample

_sound: WeakKeyDictionary[nn.Module, set[object]] = WeakKeyDictionary()
"""For each network, the inputs with which it has been tried, as far as their shapes tell them."""


class FoldedBatchCheck:
    """Forward hooks that refuse N sequences of length N if the network swaps the two.

    A layer tells by the length of the stated dimension whether the samples lie along it. Where
    another dimension has the same length that proves nothing, so that the network is run once
    more with one sample more, which no other dimension has as many of. The outcome is remembered
    for the shapes of the input.
    """

    def __init__(self) -> None:
        """No call is under way."""
        self._handled: list[BaseException | None] = []

    def before(self, net: nn.Module, args: tuple[Any, ...]) -> None:
        """Before the forward pass of `net`: layers may note doubts from now on."""
        if torch.compiler.is_compiling():
            return
        self._handled.append(sys.exc_info()[1])
        for selected in _mixed(net):
            selected.watching += 1

    def after(
        self, net: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        """After the forward pass of `net`, also if it has failed.

        Raises:
            ValueError: If with another number of samples a layer would refuse the batch, or that
                cannot be found out.
        """
        if torch.compiler.is_compiling() or not self._handled:
            return
        failed = sys.exc_info()[1] is not self._handled.pop()
        for selected in _mixed(net):
            selected.watching -= 1
            doubts = selected.doubts.copy()
            selected.doubts.clear()
            if doubts and not failed:
                _settle(net, args, kwargs, selected, doubts[0])


def check_calls(net: nn.Module, of: Collection[nn.Module]) -> list[nn.Module]:
    """Have the calls of these checked, and of no other module in `net`.

    What is checked already stays as it is: to a compiler, another hook is other code.

    Returns:
        The modules whose calls were checked before.
    """
    checked = []
    for module in net.modules():
        keys = [key for key, hook in module._forward_hooks.items() if _is_check(hook)]
        if keys:
            checked.append(module)
        if keys and module not in of:
            for key in keys:
                del module._forward_hooks[key]
                module._forward_hooks_with_kwargs.pop(key, None)
                module._forward_hooks_always_called.pop(key, None)
            for key in [key for key, hook in module._forward_pre_hooks.items() if _is_check(hook)]:
                del module._forward_pre_hooks[key]
        if module in of and not keys:
            check = FoldedBatchCheck()
            module.register_forward_pre_hook(check.before)
            module.register_forward_hook(check.after, with_kwargs=True, always_call=True)
    return checked


def _is_check(hook: Callable[..., Any]) -> bool:
    return isinstance(getattr(hook, "__self__", None), FoldedBatchCheck)


def _mixed(net: nn.Module) -> list[PerSample]:
    layers = (module for module in net.modules() if isinstance(module, Layer))
    selections = (layer.superposition.selection for layer in layers)
    return list(dict.fromkeys(s for s in selections if isinstance(s, PerSample)))


def _settle(
    net: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], selected: PerSample, layer: str
) -> None:
    samples = len(selected.index)
    leaves, structure = tree_flatten((args, kwargs))
    told = (str(structure), *map(_told, leaves), samples, selected.batch_dim)
    sound = _sound.setdefault(net, set())
    if told in sound:
        return
    tensors = [x for x in leaves if isinstance(x, Tensor)]
    # Samples may lie along the first dimension of the network's input, and another of its layers'.
    dims = [
        dim
        for dim in dict.fromkeys((0, selected.batch_dim))
        if any(dim < x.dim() and x.shape[dim] == samples for x in tensors)
    ]
    masks = {id(x): ways for x in tensors if (ways := _ways(x, samples))}
    refusals = []
    for ways in itertools.product(dims, *masks.values()):
        dim, along = ways[0] or 0, dict(zip(masks, ways[1:], strict=True))
        for data in (False, True):
            try:
                _try(net, args, kwargs, _Longer(samples, dim, along, data))
            except MisplacedBatchError as error:
                refusals.append(str(error))
                break
            except Exception:  # it looks at values, or these shapes do not fit
                continue
            sound.add(told)
            return
    outcome = (
        f"was tried with one sample more: {refusals[0]}"
        if refusals
        else "would have to be tried with one sample more, which it cannot; take a batch of "
        "another length, or call it once per context."
    )
    raise ValueError(
        f"layer '{layer}' got a batch that mixes contexts along batch_dim={selected.batch_dim}, "
        f"with another dimension as long as the batch ({samples}), so that the network {outcome}"
    )


def _ways(x: Tensor, samples: int) -> tuple[int | None, ...]:
    """Along which dimensions x may have the samples, or none, if its length does not tell."""
    if x.shape == (samples, samples):  # samples by positions, or a mask of positions by positions
        return 0, None, 1
    if x.dim() == 3 and len(x) > samples and len(x) % samples == 0:  # a mask for every head
        return 0, None
    return ()


def _told(leaf: Any) -> object:
    """What of an argument can tell the network what to do with the shapes."""
    if isinstance(leaf, Tensor):
        return tuple(leaf.shape)
    return leaf if isinstance(leaf, bool | int | str) else type(leaf)


@dataclass(frozen=True)
class _Longer:
    """How a batch gets one sample more: along which dimension of what, and with data or without."""

    samples: int
    dim: int
    masks: dict[int, int | None]
    data: bool

    def __call__(self, x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        dim = self.masks.get(id(x), self.dim)
        is_mask = id(x) in self.masks
        x = x if self.data else x.to("meta")
        if dim is None or dim >= x.dim() or not (is_mask or x.shape[dim] == self.samples):
            return x
        return torch.cat([x, x.narrow(dim, 0, x.shape[dim] // self.samples)], dim)


@torch.no_grad()
def _try(net: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], longer: _Longer) -> None:
    """Run a copy of the network on one sample more.

    Raises:
        MisplacedBatchError: If a layer refuses it.
    """
    memo: dict[int, Any] = {}
    for value in () if longer.data else [*net.parameters(), *net.buffers()]:
        empty = value.detach().to("meta")
        is_parameter = isinstance(value, nn.Parameter)
        memo[id(value)] = nn.Parameter(empty, value.requires_grad) if is_parameter else empty
    trial = copy.deepcopy(net, memo).eval()
    check_calls(trial, ())
    for module in trial.modules():
        if isinstance(module, Layer) and isinstance(module.superposition.selection, PerSample):
            index = torch.arange(longer.samples + 1) % module.superposition.num_contexts
            module.select(
                PerSample(
                    index.to(module.superposition.selection.index.device),
                    module.superposition.selection.batch_dim,
                    watching=1,
                )
            )
    with torch.random.fork_rng(devices=[]):
        trial(*tree_map(longer, args), **tree_map(longer, kwargs))
