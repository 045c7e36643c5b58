"""Learners: a network with its optimiser and its training step."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.runner.added import added_tensors
from experiments.runner.diverged import Diverged, find_fault, locate_nonfinite
from psp_data import Stream
from psp_nn import Superposed, use_context

Precision = Literal["float32", "bfloat16"]

TEST_BATCH = 2000
"""Largest number of test samples in one forward pass."""


class Learner:
    """A classifier, superposed or not, that learns from one stream.

    Subclasses change what happens at a step or between tasks.

    Args:
        net: The network, x ↦ logits (batch, classes).
        optimiser: Optimiser of its parameters.
        precision: Precision of the products in the forward and backward pass; weights, gradients
            and the optimiser stay float32.
        compiled: Train through `torch.compile`.
        later_learning_rate: Learning rate from the second task on; by default the optimiser's.

    Attributes:
        copies: Tensors that training keeps for each weight: the weight itself and what a penalty
            adds.
        forgets_nothing: Models of earlier tasks never change, and only the latest is in memory.

    Example:
        >>> import torch
        >>> from experiments.runner.learner import Learner
        >>> from experiments.runner.optimiser import rmsprop
        >>> net = torch.nn.Linear(2, 3)
        >>> learner = Learner(net, rmsprop(net.parameters(), lr=0.1))
        >>> learner.step(torch.ones(4, 2), torch.zeros(4, dtype=torch.int64)).shape
        torch.Size([])
        >>> learner.count_correct(torch.ones(4, 2), torch.zeros(4, dtype=torch.int64), context=0)
        4
        >>> learner.num_parameters(tasks=50)
        {'total': 9, 'per_added_model': 0}
    """

    copies = 1
    forgets_nothing = False

    def __init__(
        self,
        net: nn.Module,
        optimiser: torch.optim.Optimizer,
        *,
        precision: Precision = "float32",
        compiled: bool = False,
        later_learning_rate: float | None = None,
    ) -> None:
        self.precision = precision
        self._compiled = compiled
        self._later_learning_rate = later_learning_rate
        self.replace(net, optimiser)

    def replace(self, net: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Continue with another network and its optimiser."""
        self.net = net
        self.optimiser = optimiser
        self.is_superposed = any(isinstance(module, Superposed) for module in net.modules())
        self._forward: Callable[[Tensor], Tensor] = torch.compile(net) if self._compiled else net

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return next(self.net.parameters()).device

    def use(self, context: int) -> None:
        """Select the model of `context`; a network without contexts stays the same."""
        if self.is_superposed:
            use_context(self.net, context)

    def begin_task(self, task: int) -> None:
        """Prepare for a task; called before its first step."""
        if task and self._later_learning_rate is not None:
            for group in self.optimiser.param_groups:
                group["lr"] = self._later_learning_rate

    def end_task(self, stream: Stream, done: int) -> None:
        """Finish a task; called after its last step, the `done`-th of the stream."""

    def step(self, samples: Tensor, labels: Tensor) -> Tensor:
        """Learn from one batch.

        Args:
            samples: Shape (batch, …).
            labels: Shape (batch,), int64.

        Returns:
            The cross-entropy before the step, a scalar without gradient.

        Raises:
            Diverged: If it is not finite; nothing has changed then. Only tested on the CPU:
                other devices run asynchronously, and each test would wait for them.
        """
        loss = self._differentiate(samples, labels)
        self.optimiser.step()
        return loss

    @torch.no_grad()
    def count_correct(self, samples: Tensor, labels: Tensor, context: int | Tensor) -> int:
        """Count the samples that the model of `context` classifies correctly, in evaluation mode.

        Args:
            samples: Shape (batch, …).
            labels: Shape (batch,), int64.
            context: One for all, or a LongTensor with one per sample, shape (batch,).
        """
        training = self.net.training
        self.net.eval()
        try:
            correct = 0
            for start in range(0, len(samples), TEST_BATCH):
                part = slice(start, start + TEST_BATCH)
                with self._using(context if isinstance(context, int) else context[part]):
                    answers = self._logits(self.net, samples[part]).argmax(-1)
                correct += int((answers == labels[part]).sum())
            return correct
        finally:
            self.net.train(training)

    def num_parameters(self, tasks: int) -> dict[str, int]:
        """Count the parameters that are stored for all tasks, and for each added one.

        Contexts count as if they were stored, as in the paper's Table 1, though fixed ones are
        drawn from their seed. So do each model's heads and the affine and statistics of its norm
        layers. The tensors of a penalty count too, since training needs them: EWC stores the
        importance and the old value of every weight, SI also its path. A complex weight counts
        twice.

        Args:
            tasks: Number of tasks.

        Returns:
            `total` and `per_added_model`.
        """
        layers = [module for module in self.net.modules() if isinstance(module, Superposed)]
        all_contexts = [
            contexts
            for layer in layers
            for name in layer.superposition.superposed
            for contexts in (layer.contexts_for(name), layer.output_contexts_for(name))
            if contexts is not None
        ]
        of_contexts = {
            id(value)
            for contexts in all_contexts
            for value in [*contexts.parameters(), *contexts.buffers()]
        }
        weights = sum(
            count_parameters(value)
            for value in self.net.parameters()
            if id(value) not in of_contexts
        )
        statistics = sum(
            count_parameters(value)
            for value in self.net.buffers()
            if id(value) not in of_contexts and _is_needed(value)
        )
        stored = sum(contexts.num_parameters(tasks) for contexts in all_contexts)
        per_context = sum(contexts.parameters_per_context for contexts in all_contexts)
        tables = sum(_table_parameters(layer, self.copies) for layer in layers)
        return {
            "total": self.copies * weights + statistics + stored,
            "per_added_model": per_context + tables,
        }

    def added_tensors(self) -> dict[str, Tensor]:
        """Return the tensors that one added model has in a file, as the current model has them."""
        return added_tensors(self.net)

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values, on which the rest of the run depends."""
        return {"net": self.net.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])

    def _using(self, context: int | Tensor) -> AbstractContextManager[Any]:
        """Select that model, or those of the samples, inside a context manager."""
        return use_context(self.net, context) if self.is_superposed else nullcontext()

    def _differentiate(self, samples: Tensor, labels: Tensor) -> Tensor:
        """Leave the gradients of a batch in the parameters, and return its detached loss."""
        loss = self._loss(samples, labels)
        if loss.is_cpu and not math.isfinite(loss.item()):
            with torch.no_grad(), locate_nonfinite(self.net) as faults:
                self.net(samples)
            parameter_fault = find_fault(self.net, loss.new_zeros(()))
            raise Diverged(parameter_fault or (faults or [f"the loss is {loss.item():g}"])[0])
        self.optimiser.zero_grad()
        loss.backward()
        return loss.detach()

    def _loss(self, samples: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(self._logits(self._forward, samples), labels)

    def _logits(self, forward: Callable[[Tensor], Tensor], samples: Tensor) -> Tensor:
        if self.precision == "float32":
            return forward(samples)
        with torch.autocast(samples.device.type, torch.bfloat16):
            return forward(samples).float()


def _table_parameters(layer: Superposed, copies: int) -> int:
    """Count one model's rows in a layer's tables: a norm's affine and statistics, biases."""
    learned = dict(layer.named_parameters(recurse=False))
    return sum(
        count_parameters(getattr(layer, name)) * (copies if name in learned else 1)
        for name in layer.superposition.per_context
        if _is_needed(getattr(layer, name))
    )


def count_parameters(value: Tensor) -> int:
    """Count the elements of a tensor; complex ones count twice."""
    return value.numel() * (2 if value.is_complex() else 1)


def _is_needed(value: Tensor) -> bool:
    """Return False for the integer counter of batches that a norm layer keeps."""
    return value.is_floating_point() or value.is_complex()
