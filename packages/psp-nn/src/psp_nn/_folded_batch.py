"""Noticing a network that moves its samples where a batch that mixes contexts hides it."""

import copy
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from psp_nn._selection import MisplacedBatchError, PerSample
from psp_nn._superposed import Superposed

_sound: WeakKeyDictionary[nn.Module, set[object]] = WeakKeyDictionary()
"""For each network, the shapes of input with which it has been tried."""


class FoldedBatchCheck:
    """A forward hook that refuses N sequences of length N if the network swaps the two.

    A layer tells by the length of the stated dimension whether the samples lie along it. Where
    another dimension has the same length that proves nothing, so that the network is run once
    more without data, with one sample more, which no other dimension has as many of. The outcome
    is remembered for the shapes of the input.
    """

    def __call__(
        self, net: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        """After the forward pass of `net`.

        Raises:
            ValueError: If with another number of samples a layer would refuse the batch.
        """
        if torch.compiler.is_compiling():
            return
        layer = next((module for module in net.modules() if isinstance(module, Superposed)), None)
        if layer is None or not isinstance(layer.selected, PerSample):
            return
        selected, samples = layer.selected, len(layer.selected.index)
        if not selected.doubts:
            return
        doubtful = selected.doubts[0]
        selected.doubts.clear()
        shapes = [tuple(x.shape) for x in [*args, *kwargs.values()] if isinstance(x, Tensor)]
        sound, tried = _sound.setdefault(net, set()), (*shapes, selected.batch_dim)
        if tried in sound:
            return
        dims = {dim for shape in shapes for dim, size in enumerate(shape) if size == samples}
        # Samples may lie along another dimension of the network's input than of its layers'.
        outcomes = {dim: _tried(net, args, kwargs, samples, dim) for dim in sorted(dims)}
        refusals = [outcome for outcome in outcomes.values() if isinstance(outcome, str)]
        inconclusive = outcomes.get(selected.batch_dim, True) is None
        if refusals and True not in outcomes.values() and not inconclusive:
            raise ValueError(
                f"layer '{doubtful}' got a batch that mixes contexts along "
                f"batch_dim={selected.batch_dim}, with another dimension as long as the batch "
                f"({samples}), so that the network was tried with one sample more: {refusals[0]}"
            )
        sound.add(tried)


def watch_for_folded_batches(net: nn.Module) -> None:
    """Have the check in place while a batch mixes contexts, and only then."""
    mixes = any(
        isinstance(module, Superposed) and isinstance(module.selected, PerSample)
        for module in net.modules()
    )
    if not mixes:
        _take_check_off(net)
    elif not any(map(_is_check, net._forward_hooks.values())):
        net.register_forward_hook(FoldedBatchCheck(), with_kwargs=True)


def _take_check_off(net: nn.Module) -> None:
    for key in [key for key, hook in net._forward_hooks.items() if _is_check(hook)]:
        del net._forward_hooks[key]
        net._forward_hooks_with_kwargs.pop(key, None)


def _is_check(hook: object) -> bool:
    return isinstance(hook, FoldedBatchCheck)


def _tried(
    net: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], samples: int, dim: int
) -> bool | str | None:
    """Whether all layers take one sample more along `dim` of the input.

    Returns:
        True, or why a layer refuses it, or None if the network cannot be run like that.
    """

    def without_data(x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        size = list(x.shape)
        if dim < len(size) and size[dim] == samples:
            size[dim] += 1
        return torch.empty(size, dtype=x.dtype, device="meta")

    memo: dict[int, Any] = {}
    for value in [*net.parameters(), *net.buffers()]:
        empty = value.detach().to("meta")
        is_parameter = isinstance(value, nn.Parameter)
        memo[id(value)] = nn.Parameter(empty, value.requires_grad) if is_parameter else empty
    try:
        trial = copy.deepcopy(net, memo).eval()
        _take_check_off(trial)
        for module in trial.modules():
            if isinstance(module, Superposed):
                before = module.selected
                assert isinstance(before, PerSample)
                index = torch.arange(samples + 1) % module.num_contexts
                module.select(PerSample(index, before.batch_dim))
        with torch.no_grad():
            trial(*tree_map(without_data, args), **tree_map(without_data, kwargs))
    except MisplacedBatchError as error:
        return str(error)
    except Exception:  # something needs data: nothing is shown, and what was stated counts
        return None
    return True
