"""Which models a layer's forward passes used, so that none is recomputed as another."""

from dataclasses import dataclass

import torch
from torch._C import _current_graph_task_id
from torch._C._autograd import _top_saved_tensors_default_hooks

from psp_nn.layers.selection import Selection, same_selection


@dataclass
class Recomputations:
    """What the layers of a network know together: how often one was recomputed."""

    count: int = 0


class Uses:
    """What a layer remembers of its forward passes.

    Checkpointing runs a layer again in the backward pass, with the context in use then, and tells
    not which of several forward passes it repeats.
    """

    def __init__(self, recomputations: Recomputations) -> None:
        """No forward pass yet."""
        self._recomputations = recomputations
        self._waiting_since = 0
        self.hidden = False
        self._last: Selection | None = None
        self._kept: Selection | None = None
        self._several = False

    def note(self, selected: Selection, layer: str) -> None:
        """A forward pass uses `selected`.

        Raises:
            RuntimeError: If this runs inside a backward pass, and the context has changed since
                the forward pass, or forward passes with several contexts wait for theirs.
        """
        if self.hidden:
            return
        if _current_graph_task_id() == -1:
            self._last = selected
            # Where tensors are saved as they are nothing is recomputed, and any context may follow.
            if _top_saved_tensors_default_hooks(True) is not None and torch.is_grad_enabled():
                self._note_kept(selected)
            return
        # What is under way ends what waited, in all layers and even if it fails.
        self._recomputations.count += 1
        changed = self._last is not None and not same_selection(self._last, selected)
        if changed or self._several:
            raise RuntimeError(
                f"layer '{layer}' is recomputed in the backward pass with another context than its "
                "forward pass used, or after several were; call backward before the context "
                "changes, inside the `with use_context` block if there is one."
            )

    def _note_kept(self, selected: Selection) -> None:
        """A forward pass that may be run again in the backward pass to come."""
        first = self._kept is None or self._waiting_since != self._recomputations.count
        self._several = not first and (
            self._several or not same_selection(self._kept or selected, selected)
        )
        self._kept, self._waiting_since = selected, self._recomputations.count
