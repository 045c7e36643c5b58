"""What is trained: a network, its optimiser, and how both take a step."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.runner.diverged import Diverged, blaming, fault_of
from psp_data import Stream
from psp_nn import Superposed, use_context

Precision = Literal["float32", "bfloat16"]

ROWS_AT_ONCE = 2000
"""How many test samples go through a network in one batch."""


class Learner:
    """A classifier, superposed or not, that learns from one stream.

    Subclasses change what happens at a step or between tasks.

    Args:
        net: The network, x ↦ logits (batch, classes).
        optimiser: Over its parameters.
        precision: Of the products in the forward and backward pass; weights, gradients and the
            optimiser stay float32.
        compiled: Whether training goes through `torch.compile`.

    Example:
        >>> import torch
        >>> from experiments.runner import Learner, rmsprop
        >>> net = torch.nn.Linear(2, 3)
        >>> learner = Learner(net, rmsprop(net.parameters(), lr=0.1))
        >>> learner.step(torch.ones(4, 2), torch.zeros(4, dtype=torch.int64)).shape
        torch.Size([])
        >>> learner.count_correct(torch.ones(4, 2), torch.zeros(4, dtype=torch.int64), context=0)
        4
    """

    def __init__(
        self,
        net: nn.Module,
        optimiser: torch.optim.Optimizer,
        *,
        precision: Precision = "float32",
        compiled: bool = False,
    ) -> None:
        """See the class."""
        self.net = net
        self.optimiser = optimiser
        self.precision = precision
        self.is_superposed = any(isinstance(module, Superposed) for module in net.modules())
        self._forward: Callable[[Tensor], Tensor] = torch.compile(net) if compiled else net

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.net.parameters()).device

    def use(self, context: int) -> None:
        """Be the model of `context` from now on; a network without contexts stays what it is."""
        if self.is_superposed:
            use_context(self.net, context)

    def begin_task(self, task: int) -> None:
        """Called before the first step of a task."""

    def end_task(self, stream: Stream, done: int) -> None:
        """Called after the last step of a task, the `done`-th of the stream."""

    def step(self, samples: Tensor, labels: Tensor) -> Tensor:
        """Learn from one batch.

        Args:
            samples: Shape (batch, …).
            labels: Shape (batch,), int64.

        Returns:
            The cross-entropy before the step, a scalar without gradient.

        Raises:
            Diverged: If it is not finite; nothing has been changed then. On a device that works
                ahead of Python nobody looks, since that would wait for it at every step.
        """
        loss = self._differentiate(samples, labels)
        self.optimiser.step()
        return loss

    @torch.no_grad()
    def count_correct(self, samples: Tensor, labels: Tensor, context: int | Tensor) -> int:
        """How many samples the model of `context` classifies rightly, in evaluation mode.

        Args:
            samples: Shape (batch, …).
            labels: Shape (batch,), int64.
            context: One for all, or a LongTensor with one per sample, shape (batch,).
        """
        training = self.net.training
        self.net.eval()
        try:
            right = 0
            for start in range(0, len(samples), ROWS_AT_ONCE):
                part = slice(start, start + ROWS_AT_ONCE)
                own = context if isinstance(context, int) else context[part]
                with self._using(own):
                    found = self._logits(self.net, samples[part]).argmax(-1)
                right += int((found == labels[part]).sum())
            return right
        finally:
            self.net.train(training)

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the run depends on: tensors and plain values."""
        return {"net": self.net.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])

    def _using(self, context: int | Tensor) -> AbstractContextManager[Any]:
        """Be that model, or those of the samples, for a while."""
        return use_context(self.net, context) if self.is_superposed else nullcontext()

    def _differentiate(self, samples: Tensor, labels: Tensor) -> Tensor:
        """The loss of a batch, without gradient; those of the parameters are in the parameters."""
        loss = self._loss(samples, labels)
        if loss.is_cpu and not math.isfinite(loss.item()):
            with torch.no_grad(), blaming(self.net) as faults:
                self.net(samples)
            of_parameters = fault_of(self.net, loss.new_zeros(()))
            raise Diverged(of_parameters or (faults or [f"the loss is {loss.item():g}"])[0])
        self.optimiser.zero_grad()
        loss.backward()
        return loss.detach()

    def _loss(self, samples: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(self._logits(self._forward, samples), labels)

    def _logits(self, forward: Callable[[Tensor], Tensor], samples: Tensor) -> Tensor:
        if self.precision == "float32":
            return forward(samples)
        with self._autocast(samples):
            return forward(samples).float()

    @staticmethod
    def _autocast(samples: Tensor) -> AbstractContextManager[Any]:
        return torch.autocast(samples.device.type, torch.bfloat16)
