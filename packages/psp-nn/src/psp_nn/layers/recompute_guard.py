"""Check that activation checkpointing recomputes every forward pass with the same model."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch._C import _current_graph_task_id
from torch._C._autograd import _top_saved_tensors_default_hooks

from psp_nn.layers.selection import MixedBatchError, Selection, same_selection

_mixed_call: ContextVar[tuple[Any] | None] = ContextVar("_mixed_call", default=None)
"""Within a call whose batch mixes contexts, the saved-tensor hooks around it."""


@contextmanager
def inside_mixed_call() -> Iterator[None]:
    """Run a network whose batch mixes contexts, and refuse checkpointing of its parts."""
    token = _mixed_call.set((_top_saved_tensors_default_hooks(True),))
    try:
        yield
    finally:
        _mixed_call.reset(token)


@dataclass
class RecomputeCounter:
    """Number of recomputed forward passes, shared by all layers of a network."""

    count: int = 0


class RecomputeGuard:
    """Record of the models that a layer's forward passes used.

    Checkpointing runs a layer again during the backward pass, with the context selected then. It
    does not say which of several forward passes it repeats.
    """

    def __init__(self, counter: RecomputeCounter) -> None:
        self._counter = counter
        self._kept_at = 0
        self._last: Selection | None = None
        self._kept: Selection | None = None
        self._several = False

    def note(self, selection: Selection, layer: str) -> None:
        """Record a forward pass that uses `selection`.

        Raises:
            RuntimeError: If this is a recomputation and the context has changed since the forward
                pass, or forward passes with several contexts await their backward pass.
        """
        outside = _mixed_call.get()
        if outside is not None:
            hooks = _top_saved_tensors_default_hooks(True)
            if torch.is_grad_enabled() and hooks is not None and hooks != outside[0]:
                raise MixedBatchError(
                    f"layer '{layer}' is checkpointed inside a network whose batch mixes contexts; "
                    "checkpoint the call of the whole network."
                )
            return
        if _current_graph_task_id() == -1:
            self._last = selection
            # Without saved-tensor hooks nothing is recomputed, and any context may follow.
            if _top_saved_tensors_default_hooks(True) is not None and torch.is_grad_enabled():
                self._note_kept(selection)
            return
        # A backward pass ends what awaited it, in all layers and even if it fails.
        self._counter.count += 1
        changed = self._last is not None and not same_selection(self._last, selection)
        if changed or self._several:
            raise RuntimeError(
                f"layer '{layer}' is recomputed in the backward pass with another context than its "
                "forward pass used, or after forward passes with several; call backward before the "
                "context changes, inside the `with use_context` block if there is one."
            )

    def _note_kept(self, selection: Selection) -> None:
        """Record a forward pass that the next backward pass may recompute."""
        first = self._kept is None or self._kept_at != self._counter.count
        self._several = not first and (
            self._several or not same_selection(self._kept or selection, selection)
        )
        self._kept, self._kept_at = selection, self._counter.count
