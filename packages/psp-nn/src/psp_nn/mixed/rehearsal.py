"""A rehearsal of a call with one model for all samples, which must give what a plain call gives."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import nn
from torch._C._autograd import _top_saved_tensors_default_hooks
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import _disable_current_modes

from psp_nn._eval_mode import eval_mode
from psp_nn.layers.inputs import autocasts
from psp_nn.layers.recompute_guard import inside_mixed_call
from psp_nn.layers.selection import MixedBatchError, One, PerSample
from psp_nn.layers.using import using
from psp_nn.mixed.at_once import at_once
from psp_nn.mixed.by_context import by_context, run_part, select
from psp_nn.mixed.call import Call, Layout
from psp_nn.mixed.comparison import Seen, check_kept, check_same, dependent, find_layout
from psp_nn.mixed.module_state import ModuleState, has_values
from psp_nn.mixed.structure import flatten


class Plan(NamedTuple):
    """Where the samples lie in the leaves of results, and whether `torch.vmap` can run them."""

    layout: Layout
    is_at_once: bool


def couples_samples(net: nn.Module) -> bool:
    """Return True if BatchNorm normalises by the batch, so that samples depend on each other."""
    return any(
        isinstance(module, nn.modules.batchnorm._BatchNorm)
        and (module.training or module._buffers["running_mean"] is None)
        for module in net.modules()
    )


def rehearse(net: nn.Module, call: Call, *, apart: bool) -> Plan:
    """Find out how a network takes samples, by runs of a call with one model for all of them.

    The runs take copies of the arguments, and leave modules, random numbers and what checkpointing
    saves as they were. Where BatchNorm couples samples, or random numbers are drawn, values are
    compared in evaluation mode.

    Args:
        net: The network.
        call: A call of the kind.
        apart: Serve it by one run for each context.

    Raises:
        MixedBatchError: If a sample gets another result in the batch than alone, or the samples
            are not where they are said to be.
    """
    is_checkpointed = _top_saved_tensors_default_hooks(True) is not None
    hooks: Any = saved_tensors_hooks(lambda x: x, lambda x: x) if is_checkpointed else nullcontext()
    with torch.random.fork_rng(devices=_cuda_devices(net)), hooks, inside_mixed_call():
        plan, compared = _rehearse(net, call, apart)
        if not compared and any(module.training for module in net.modules()):
            with eval_mode(net), _suppressed():  # it need not run in evaluation mode
                _rehearse(net, call, apart)
    return plan


def _rehearse(net: nn.Module, call: Call, apart: bool) -> tuple[Plan, bool]:
    """Return how to serve the batch, and whether values could be compared."""
    index, coupled = call.batch.index, couples_samples(net)
    batch = PerSample(index[:1].expand_as(index).clone())
    one, samples = One.of(index[0], batch), torch.arange(call.count, device=index.device)
    # BatchNorm needs two samples; an even number of copies of each keeps their statistics.
    few = samples.repeat(2) if coupled else samples[:1]
    groups = [(one, samples)] if coupled else [(one, samples[:1]), (one, samples[1:])]

    def watch(run: Callable[[Call], list[Any]]) -> Seen:
        """Return what a run on copies gives, and restore what it has changed."""
        state = ModuleState(net)
        try:
            copied = copy.copy(call)
            copied.leaves, copied.batch = select(call, samples), batch
            return Seen(run(copied), state.kept())
        finally:
            call.restore()
            state.restore()

    alone = f"the network takes {call.count} samples, but not each alone"
    with using(call.layers, batch):
        random = _random_states(net)
        whole = watch(lambda call: run_part(call, one, samples)[1])
        compared = not coupled and random == _random_states(net)
        tolerance = _tolerance(net) if compared else None
        with _suppressed(alone):
            part = watch(lambda call: run_part(call, one, few)[1])
        layout = find_layout(whole, part, call.count, len(few))
        check_kept(whole, part, None)
        with _suppressed():  # vmap cannot run every network
            if not apart:
                seen = watch(lambda call: flatten(at_once(call, layout), {}))
                check_same(whole, seen, tolerance)
                return Plan(layout, is_at_once=True), compared
        with _suppressed(alone):
            seen = watch(lambda call: flatten(by_context(call, layout, groups), {}))
        check_same(whole, seen, tolerance)
    return Plan(layout, is_at_once=False), compared


@contextmanager
def _suppressed(refusal: str = "") -> Iterator[None]:
    """Suppress errors of a run that need not succeed, or refuse the batch because of them."""
    try:
        yield
    except MixedBatchError:
        raise
    except Exception as error:
        if refusal:
            raise dependent(f"{refusal}: {error}") from error


def _tolerance(net: nn.Module) -> float:
    halves = (torch.float16, torch.bfloat16)
    return 0.1 if any(autocasts(x) or x.dtype in halves for x in net.parameters()) else 0.01


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
