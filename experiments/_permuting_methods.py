"""The methods that are compared on permuted images, and what each has to store."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from experiments.runner import FAMILIES, Learner, build_mlp, rmsprop
from experiments.runner.learner import Precision
from psp_contexts import Contexts, DiagonalContexts
from psp_data import Stream
from psp_nn import ElasticWeightConsolidation, Superposed, SynapticIntelligence, superpose

CONTEXTS: dict[str, Callable[..., Contexts]] = {
    **{name: family for name, family in FAMILIES.items() if name != "Identity"},
    **{
        f"Learned{name}": partial(family, learned=True)
        for name, family in FAMILIES.items()
        if issubclass(family, DiagonalContexts)
    },
}
"""The methods that superpose, and their contexts."""

PENALTIES = ("EWC", "SI")
"""The methods with a strength."""

METHODS = ("standard", *CONTEXTS, *PENALTIES, "single")
"""All methods: *standard* trains one net on and on, *single* a new one for every task."""

STRENGTHS = {"EWC": 100.0, "SI": 0.1}
"""What EWC and SI are run with unless told otherwise; the preset `search` compares others."""


def is_complex(method: str) -> bool:
    """Whether a method computes with complex numbers, at four times the arithmetic."""
    family = FAMILIES.get(method.removeprefix("Learned"))
    return family is not None and family.is_complex


class Consolidating(Learner):
    """A plain net with a penalty on moving what earlier tasks need.

    Args:
        net: See `Learner`.
        optimiser: See `Learner`.
        penalty: Of that net.
        options: See `Learner`.
    """

    def __init__(
        self,
        net: nn.Module,
        optimiser: torch.optim.Optimizer,
        penalty: ElasticWeightConsolidation | SynapticIntelligence,
        **options: Any,
    ) -> None:
        """See the class."""
        super().__init__(net, optimiser, **options)
        self._penalty = penalty

    def state_dict(self) -> dict[str, Any]:
        """Also what the penalty has learned of the earlier tasks."""
        kept = {name: value for name, value in vars(self._penalty).items() if name != "net"}
        return {**super().state_dict(), "penalty": kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        super().load_state_dict(state)
        vars(self._penalty).update(state["penalty"])


class EWC(Consolidating):
    """Elastic weight consolidation: the penalty is part of the loss.

    Args:
        net: See `Learner`.
        optimiser: See `Learner`.
        strength: λ.
        fisher_images: Of how many of a task's last training images to take the Fisher information.
        options: See `Learner`.
    """

    _penalty: ElasticWeightConsolidation

    def __init__(
        self,
        net: nn.Module,
        optimiser: torch.optim.Optimizer,
        *,
        strength: float,
        fisher_images: int,
        **options: Any,
    ) -> None:
        """See the class."""
        penalty = ElasticWeightConsolidation(net, strength=strength)
        super().__init__(net, optimiser, penalty, **options)
        self._fisher_images = fisher_images

    def end_task(self, stream: Stream, done: int) -> None:
        """Add the task's Fisher information."""
        batches = -(-self._fisher_images // stream.batch_size)
        first = max(stream.first_step(stream.task(done - 1)), done - batches)
        images = torch.cat([stream.train_batch(step)[0] for step in range(first, done)])
        self._penalty.consolidate([images[-self._fisher_images :]])

    def _loss(self, samples: Tensor, labels: Tensor) -> Tensor:
        return super()._loss(samples, labels) + self._penalty.penalty()


class SI(Consolidating):
    """Synaptic intelligence: the penalty surrounds the optimiser's step.

    Args:
        net: See `Learner`.
        optimiser: See `Learner`.
        strength: c.
        options: See `Learner`.
    """

    _penalty: SynapticIntelligence

    def __init__(
        self, net: nn.Module, optimiser: torch.optim.Optimizer, *, strength: float, **options: Any
    ) -> None:
        """See the class."""
        super().__init__(net, optimiser, SynapticIntelligence(net, strength=strength), **options)

    def step(self, samples: Tensor, labels: Tensor) -> Tensor:
        """Learn from one batch, and follow what its loss falls by."""
        loss = self._loss(samples, labels)
        self.optimiser.zero_grad()
        loss.backward()
        with self._penalty.step():
            self.optimiser.step()
        return loss.detach()

    def end_task(self, stream: Stream, done: int) -> None:
        """What the loss fell by becomes important."""
        self._penalty.consolidate()


class Single(Learner):
    """A new net for every task: what no interference would give. Only the last net is kept.

    Args:
        build: The net of a task.
        optimise: Its optimiser.
        options: See `Learner`.
    """

    def __init__(
        self,
        build: Callable[[int], nn.Module],
        optimise: Callable[[nn.Module], torch.optim.Optimizer],
        **options: Any,
    ) -> None:
        """See the class."""
        net = build(0)
        super().__init__(net, optimise(net), **options)
        self._build = build
        self._optimise = optimise

    def begin_task(self, task: int) -> None:
        """Forget all."""
        self.net.load_state_dict(self._build(task).state_dict())
        self.optimiser = self._optimise(self.net)


def build_learner(
    method: str,
    *,
    inputs: int,
    classes: int,
    width: int,
    hidden_layers: int,
    tasks: int,
    seed: int,
    learning_rate: float,
    strength: float | None,
    fisher_images: int,
    device: torch.device | str,
    precision: Precision = "float32",
    compiled: bool = False,
) -> Learner:
    """A net of the paper's shape with what a method adds to it.

    All methods start from the same weights, but for the phases that complex ones are given.

    Args:
        method: One of `METHODS`.
        inputs: Length of a sample.
        classes: How many logits.
        width: Units in each hidden layer.
        hidden_layers: How many there are.
        tasks: How many contexts there shall be.
        seed: Of the weights and the contexts.
        learning_rate: Of RMSprop.
        strength: Of the methods in `PENALTIES`.
        fisher_images: See `EWC`.
        device: Where to train.
        precision: See `Learner`.
        compiled: See `Learner`.
    """

    def build(task: int) -> nn.Module:
        of_task = seed if task == 0 else seed + 1_000_000 * task
        return build_mlp(inputs, width, classes, of_task, hidden_layers).to(device)

    def optimise(net: nn.Module) -> torch.optim.Optimizer:
        return rmsprop(net.parameters(), lr=learning_rate)

    options: dict[str, Any] = {"precision": precision, "compiled": compiled}
    if method == "single":
        return Single(build, optimise, **options)
    net = build(0)
    if method in CONTEXTS:
        family = CONTEXTS[method]
        net = superpose(net, contexts=family, num_contexts=tasks, seed=seed).to(device)
    if method in PENALTIES:
        assert strength is not None
        options["strength"] = strength
    if method == "EWC":
        return EWC(net, optimise(net), fisher_images=fisher_images, **options)
    if method == "SI":
        return SI(net, optimise(net), **options)
    return Learner(net, optimise(net), **options)


def count_numbers(learner: Learner, tasks: int) -> dict[str, int]:
    """How many real numbers a method stores for all tasks, and for each added one.

    Contexts count as if they were stored, as in the paper's Table 1, though fixed ones are drawn
    from their seed. What EWC and SI store is what training needs: the importance of every weight
    and where it was (SI also its path).

    Args:
        learner: Of any method.
        tasks: How many tasks.

    Returns:
        `total` and `per_added_model`.
    """
    families = [
        module.family() for module in learner.net.modules() if isinstance(module, Superposed)
    ]
    learned = {id(value) for family in families for value in family.parameters()}
    weights = sum(
        value.numel() * (2 if value.is_complex() else 1)
        for value in learner.net.parameters()
        if id(value) not in learned
    )
    if isinstance(learner, Single):
        return {"total": tasks * weights, "per_added_model": weights}
    copies = {EWC: 3, SI: 4}.get(type(learner), 1)
    return {
        "total": copies * weights + sum(family.count_numbers(tasks) for family in families),
        "per_added_model": sum(family.numbers_per_context for family in families),
    }
