"""Trial run that detects a network which swaps samples and positions of a mixed batch."""

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

_passed: WeakKeyDictionary[nn.Module, set[object]] = WeakKeyDictionary()
"""Input shapes of each network that have passed a trial run."""


class TrialRunHooks:
    """Forward hooks that refuse N sequences of length N if the network swaps the two dimensions.

    A layer checks that the stated dimension is as long as the batch. If another dimension has the
    same length this proves nothing. So the network runs once more with one sample added, a number
    that no other dimension has. The outcome is cached by the shapes of the input.
    """

    def __init__(self) -> None:
        self._handled_errors: list[BaseException | None] = []

    def before(self, net: nn.Module, args: tuple[Any, ...]) -> None:
        """Let layers record doubts during the forward pass of `net`."""
        if torch.compiler.is_compiling():
            return
        self._handled_errors.append(sys.exc_info()[1])
        for selection in _mixed_selections(net):
            selection.watching += 1

    def after(
        self, net: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        """Settle the doubts after the forward pass of `net`, unless it has failed.

        Raises:
            ValueError: If a layer refuses another number of samples, or no trial run succeeds.
        """
        if torch.compiler.is_compiling() or not self._handled_errors:
            return
        failed = sys.exc_info()[1] is not self._handled_errors.pop()
        for selection in _mixed_selections(net):
            selection.watching -= 1
            doubts = selection.doubts.copy()
            selection.doubts.clear()
            if doubts and not failed:
                _settle(net, args, kwargs, selection, doubts[0])


def check_calls(net: nn.Module, modules: Collection[nn.Module]) -> list[nn.Module]:
    """Check the calls of these modules, and of no other module in `net`.

    Modules that are checked already keep their hooks: torch.compile would recompile with new ones.

    Returns:
        The modules whose calls were checked before.
    """
    checked = []
    for module in net.modules():
        keys = [key for key, hook in module._forward_hooks.items() if _is_trial_run(hook)]
        if keys:
            checked.append(module)
        if keys and module not in modules:
            for key in keys:
                del module._forward_hooks[key]
                module._forward_hooks_with_kwargs.pop(key, None)
                module._forward_hooks_always_called.pop(key, None)
            before = module._forward_pre_hooks
            for key in [key for key, hook in before.items() if _is_trial_run(hook)]:
                del before[key]
        if module in modules and not keys:
            hooks = TrialRunHooks()
            module.register_forward_pre_hook(hooks.before)
            module.register_forward_hook(hooks.after, with_kwargs=True, always_call=True)
    return checked


def _is_trial_run(hook: Callable[..., Any]) -> bool:
    return isinstance(getattr(hook, "__self__", None), TrialRunHooks)


def _mixed_selections(net: nn.Module) -> list[PerSample]:
    layers = (module for module in net.modules() if isinstance(module, Layer))
    selections = (layer.superposition.selection for layer in layers)
    return list(dict.fromkeys(s for s in selections if isinstance(s, PerSample)))


def _settle(
    net: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], selection: PerSample, layer: str
) -> None:
    samples = len(selection.index)
    leaves, structure = tree_flatten((args, kwargs))
    shapes = (str(structure), *map(_shape, leaves), samples, selection.batch_dim)
    passed = _passed.setdefault(net, set())
    if shapes in passed:
        return
    tensors = [x for x in leaves if isinstance(x, Tensor)]
    # The network's input may have its samples along another dimension than its layers.
    dims = [
        dim
        for dim in dict.fromkeys((0, selection.batch_dim))
        if any(dim < x.dim() and x.shape[dim] == samples for x in tensors)
    ]
    masks = {id(x): options for x in tensors if (options := _mask_dims(x, samples))}
    refusals = []
    for choice in itertools.product(dims, *masks.values()):
        dim, mask_dims = choice[0] or 0, dict(zip(masks, choice[1:], strict=True))
        for data in (False, True):
            try:
                _run(net, args, kwargs, _AddSample(samples, dim, mask_dims, data))
            except MisplacedBatchError as error:
                refusals.append(str(error))
                break
            except Exception:  # it reads values, or these shapes do not fit
                continue
            passed.add(shapes)
            return
    outcome = (
        f"was tried with one sample more: {refusals[0]}"
        if refusals
        else "would have to be tried with one sample more, and no trial run succeeds; take a batch "
        "of another length, or call it once per context."
    )
    raise ValueError(
        f"layer '{layer}' got a batch that mixes contexts along batch_dim={selection.batch_dim}, "
        f"with another dimension as long as the batch ({samples}), so that the network {outcome}"
    )


def _mask_dims(x: Tensor, samples: int) -> tuple[int | None, ...]:
    """Return the dimensions along which x may have the samples, None for no dimension."""
    if x.shape == (samples, samples):  # samples by positions, or a mask of positions by positions
        return 0, None, 1
    if x.dim() == 3 and len(x) > samples and len(x) % samples == 0:  # a mask for every head
        return 0, None
    return ()


def _shape(leaf: Any) -> object:
    """Return the property of an argument on which the shapes in the network may depend."""
    if isinstance(leaf, Tensor):
        return tuple(leaf.shape)
    return leaf if isinstance(leaf, bool | int | str) else type(leaf)


@dataclass(frozen=True)
class _AddSample:
    """Conversion of a batch to one with one sample more, with data or on the meta device."""

    samples: int
    dim: int
    mask_dims: dict[int, int | None]
    data: bool

    def __call__(self, x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        dim = self.mask_dims.get(id(x), self.dim)
        is_mask = id(x) in self.mask_dims
        x = x if self.data else x.to("meta")
        if dim is None or dim >= x.dim() or not (is_mask or x.shape[dim] == self.samples):
            return x
        return torch.cat([x, x.narrow(dim, 0, x.shape[dim] // self.samples)], dim)


@torch.no_grad()
def _run(
    net: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], add_sample: _AddSample
) -> None:
    """Run a copy of the network on one sample more.

    Raises:
        MisplacedBatchError: If a layer refuses it.
    """
    memo: dict[int, Any] = {}
    for value in () if add_sample.data else [*net.parameters(), *net.buffers()]:
        empty = value.detach().to("meta")
        is_parameter = isinstance(value, nn.Parameter)
        memo[id(value)] = nn.Parameter(empty, value.requires_grad) if is_parameter else empty
    trial = copy.deepcopy(net, memo).eval()
    check_calls(trial, ())
    for module in trial.modules():
        if not isinstance(module, Layer):
            continue
        selection = module.superposition.selection
        if isinstance(selection, PerSample):
            device, num_contexts = selection.index.device, module.superposition.num_contexts
            index = torch.arange(add_sample.samples + 1, device=device) % num_contexts
            module.select(PerSample(index, selection.batch_dim, watching=1))
    with torch.random.fork_rng(devices=[]):
        trial(*tree_map(add_sample, args), **tree_map(add_sample, kwargs))
