"""A rehearsal of a call with one model for all samples, which must give what a plain call gives."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._C import _functorch
from torch._C._autograd import _top_saved_tensors_default_hooks
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import _disable_current_modes

from psp_nn._eval_mode import eval_mode
from psp_nn.layers.inputs import autocasts
from psp_nn.layers.recompute_guard import inside_mixed_call
from psp_nn.layers.selection import MixedBatchError, One, PerSample
from psp_nn.layers.using import using
from psp_nn.mixed.module_state import ModuleState, has_values
from psp_nn.mixed.samples import COUNT, Call, select
from psp_nn.mixed.structure import StructureMap, leaves, same_leaf


class Plan(NamedTuple):
    """Way in which a network serves the batches of one kind of call."""

    layout: list[int | None]
    """Dimension of the samples in each leaf of the result and of the arguments afterwards."""

    at_once: bool
    """True if `torch.vmap` can run the network."""


class _Seen(NamedTuple):
    """Tensors and other leaves of a result and of the arguments afterwards, and kept tensors."""

    leaves: list[Any]
    kept: dict[str, Tensor]


def couples_samples(net: nn.Module) -> bool:
    """Return True if BatchNorm normalises by the batch, so that samples depend on each other."""
    return any(
        isinstance(module, nn.modules.batchnorm._BatchNorm)
        and (module.training or module._buffers["running_mean"] is None)
        for module in net.modules()
    )


def rehearse(net: nn.Module, call: Call, *, apart: bool) -> Plan:
    """Find out how a network takes samples, by runs of a call with one model for all of them.

    The runs take copies of the arguments, and leave modules and random numbers as they were. Where
    BatchNorm couples samples, or random numbers are drawn, values are compared in evaluation mode.

    Args:
        net: The network.
        call: A call of the kind.
        apart: Serve it by one call for each context.

    Raises:
        MixedBatchError: If a sample gets another result in the batch than alone, or the samples
            are not where they are said to be.
    """
    with _aside(net):
        plan, compared = _rehearse(net, call, apart)
        if not compared and any(module.training for module in net.modules()):
            with eval_mode(net):
                try:
                    _rehearse(net, call, apart)
                except MixedBatchError:
                    raise
                except Exception:  # a network need not run in evaluation mode
                    pass
    return plan


def _rehearse(net: nn.Module, call: Call, apart: bool) -> tuple[Plan, bool]:
    """Return how to serve the batch, and whether values could be compared."""
    index, coupled = call.batch.index, couples_samples(net)
    count, device = len(index), index.device
    batch = PerSample(index[:1].expand_as(index).clone())
    one, call = One.of(index[0], batch), replace(call, batch=batch)
    run = partial(_run, net, call)
    random = _random_states(net)
    with using(call.layers, one):
        whole = run(lambda call: call.run(call.values)[0])
        compared = not coupled and random == _random_states(net)
        # BatchNorm needs two samples; an even number of copies of each keeps their statistics.
        few = torch.arange(2 * count if coupled else 1, device=device) % count
        values = call.split(partial(select, at=few), StructureMap())
        part = _part(count, lambda: run(lambda call: call.run(call.values)[0], values=values))
        layout = _layout(whole, part, count, len(few))
        _check_kept(net, whole, part, values=False)
    with using(call.layers, call.batch):
        if not apart:
            try:
                seen = run(lambda call: call.at_once(layout))
            except MixedBatchError:
                raise
            except Exception:  # vmap cannot run it
                pass
            else:
                _check_same(net, whole, seen, compared)
                return Plan(layout, at_once=True), compared
        samples = torch.arange(count, device=device)
        groups = [(one, samples)] if coupled else [(one, samples[:1]), (one, samples[1:])]
        seen = _part(count, lambda: run(lambda call: call.by_context(layout, groups)))
        _check_same(net, whole, seen, compared)
    return Plan(layout, at_once=False), compared


def _run(
    net: nn.Module, call: Call, way: Callable[[Call], Any], values: list[Any] | None = None
) -> _Seen:
    """Run a call in some way on copies of its arguments."""
    state = ModuleState(net)
    copies: dict[int, Tensor] = {}  # one tensor may be given twice
    values = StructureMap()(
        lambda x: copies.setdefault(id(x), x.clone()), call.values if values is None else values
    )
    try:
        result = way(replace(call, values=values, _parts={}))
        return _Seen(leaves([result, *values]), state.kept())
    finally:
        state.restore()


def _part(count: int, run: Callable[[], _Seen]) -> _Seen:
    """Run a part of the samples, where a run of all of them has not failed."""
    try:
        return run()
    except MixedBatchError:
        raise
    except Exception as error:
        raise _dependent(
            f"the network takes {count} samples, but not each alone: {error}"
        ) from error


def _layout(whole: _Seen, part: _Seen, count: int, few: int) -> list[int | None]:
    """Return the dimension of each leaf that is as long as the batch is."""
    layout: list[int | None] = []
    if len(whole.leaves) != len(part.leaves):
        raise _dependent("results differ in form")
    for x, y in zip(whole.leaves, part.leaves, strict=True):
        if not isinstance(x, Tensor):
            counts_samples = isinstance(x, int) and (x, y) == (count, few)
            if not counts_samples:
                same_leaf(x, y)
            layout.append(COUNT if counts_samples else None)
            continue
        shapes = x.shape, y.shape
        dims = [d for d, sizes in enumerate(zip(*shapes, strict=False)) if sizes[0] != sizes[1]]
        if x.dim() != y.dim() or [(x.shape[d], y.shape[d]) for d in dims] not in (
            [],
            [(count, few)],
        ):
            raise _dependent(
                f"a result has shape {tuple(x.shape)} for {count} samples, but {tuple(y.shape)} "
                f"for {few}"
            )
        layout.append(dims[0] if dims else None)
    return layout


def _check_same(net: nn.Module, plain: _Seen, mixed: _Seen, values: bool) -> None:
    """Check the results of a plain call and of one that mixes contexts, and what modules keep."""
    _check_kept(net, plain, mixed, values)
    for x, y in zip(plain.leaves, mixed.leaves, strict=True):
        if isinstance(x, Tensor) and not _is_same(net, x, y, values):
            raise _dependent(f"a result of shape {tuple(x.shape)} has other values")


def _check_kept(net: nn.Module, plain: _Seen, mixed: _Seen, values: bool) -> None:
    for name in plain.kept.keys() | mixed.kept.keys():
        x, y = plain.kept.get(name), mixed.kept.get(name)
        if x is None or y is None or not _is_same(net, x, y, values):
            raise MixedBatchError(
                f"'{name}' keeps a tensor of the batch between calls, which a batch that mixes "
                "contexts does not support; pass it as an argument and return it."
            )


def _is_same(net: nn.Module, x: Tensor, y: Tensor, values: bool) -> bool:
    """Return True if tensors are the same but for rounding, as far as values can be read."""
    while _functorch.is_gradtrackingtensor(x) and _functorch.is_gradtrackingtensor(y):
        x, y = _functorch.get_unwrapped(x), _functorch.get_unwrapped(y)
    hidden = [_functorch.is_functorch_wrapped_tensor(value) for value in (x, y)]
    if x.shape != y.shape or x.dtype != y.dtype or hidden[0] != hidden[1]:
        return False
    if not values or hidden[0] or not has_values(x) or not x.numel():
        return True
    if not (x.is_floating_point() or x.is_complex()):
        return bool((x != y).double().mean() <= 0.1)  # rounding may decide between integers
    x, y = (v.detach().to_dense() if v.is_sparse else v.detach() for v in (x, y))
    x, y = (torch.view_as_real(v) if v.is_complex() else v for v in (x, y))
    x, y = (v.double().nan_to_num(0, 0, 0) for v in (x, y))
    size = x.abs()
    # Numbers such as -1e9 mask others, and say nothing about the size of these.
    size = size.where(size > 1e4, size.where(size <= 1e4, 0).max())
    halves = (torch.float16, torch.bfloat16)
    is_rough = autocasts(x) or any(v.dtype in halves for v in [*net.parameters()])
    tolerance = 0.1 if is_rough else 0.01
    return bool(((x - y).abs() <= tolerance * (size + 1e-4)).all())


def _dependent(what: str) -> MixedBatchError:
    return MixedBatchError(
        "the batch mixes contexts, but the network does not give each sample what it gives it "
        f"alone: {what}. State in batch_dim which dimension of an argument holds the samples, if "
        "it is not 0 (None if none does), or make one call per context."
    )


@contextmanager
def _aside(net: nn.Module) -> Iterator[None]:
    """Leave random numbers and the tensors that checkpointing saves as they were."""
    is_checkpointed = _top_saved_tensors_default_hooks(True) is not None
    hooks: Any = saved_tensors_hooks(_unchanged, _unchanged) if is_checkpointed else nullcontext()
    with torch.random.fork_rng(devices=_cuda_devices(net)), hooks, inside_mixed_call():
        yield


def _unchanged(x: Tensor) -> Tensor:
    return x


def _cuda_devices(net: nn.Module) -> list[torch.device]:
    if not torch.cuda.is_initialized():
        return []
    return [*{x.device for x in net.parameters() if x.is_cuda and has_values(x)}]


def _random_states(net: nn.Module) -> list[bytes]:
    devices = _cuda_devices(net)
    # A mode may be that of tensors without data, whose states have none.
    with _disable_current_modes(), torch._C._DisableFuncTorch():
        states = [torch.get_rng_state(), *map(torch.cuda.get_rng_state, devices)]
        return [state.numpy().tobytes() for state in states]
