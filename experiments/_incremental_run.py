"""One run on incremental CIFAR: one method, one seed, one record."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from experiments._incremental_measure import IncrementalMeasurement
from experiments._incremental_tasks import Tasks, stream_of
from experiments.methods import build_learner, num_parameters, penalty_of
from experiments.runner import (
    Learner,
    Recipe,
    build_resnet18,
    name_of_run,
    resolve_device,
    train_to_record,
)
from experiments.runner.device import Device
from experiments.runner.learner import Precision
from experiments.runner.record import Record
from experiments.runner.runs import spelled_number
from psp_data import IncrementalStream
from psp_nn import Norms

NormsName = Literal["batch", "per-context", "shared"]

NORMS: dict[NormsName, Norms] = {
    "batch": Norms.BATCH,
    "per-context": Norms.PER_CONTEXT,
    "shared": Norms.SHARED,
}
"""What BatchNorm may be: the paper's (no affine, statistics of the batch), one for each task, or
the usual one."""

CPU_SIZE: dict[str, Any] = {
    "width": 8,
    "batch": 64,
    "precision": "bfloat16",
    "channels_last": True,
    "curve_every": 100,
    "curve_images": 500,
    "row_images": 2500,
    "fisher_images": 64,
}
"""What the presets for a CPU are, but for their steps: an eighth of the paper's channels, so 1/64
of its weights, and half its batch. Names of runs say it in one word."""

STEM = "conv1"
"""The layer that all models share, as in the paper."""


@dataclass(frozen=True, kw_only=True)
class IncrementalRecipe(Recipe):
    """What all runs of a grid share; the defaults are the paper's recipe."""

    tasks: Tasks = "icifar"
    """CIFAR-10 and four tens of CIFAR-100; CIFAR-100 by fives; the digits by twos."""

    width: int = 64
    """Channels of the first stage of the ResNet-18."""

    steps: int = 20_000
    """Training steps per task."""

    learning_rate: float = 1e-3
    """Of RMSprop."""

    precision: Precision = "float32"
    """Of the products; bfloat16 keeps weights and optimiser in float32."""

    channels_last: bool = False
    """Whether the channels of an activation lie side by side in memory: faster convolutions."""

    curve_every: int = 500
    """Steps between two tests on task 0."""

    curve_images: int = 2000
    """How many test images such a test takes."""

    row_images: int = 5000
    """How many test images, of all tasks together, the test of all tasks takes after each task;
    after the last one it takes all that there are."""

    test_batch: int = 1000
    """How many test images go through the network at once; batch statistics depend on it."""

    fisher_images: int = 1024
    """Of how many images EWC takes a task's Fisher information."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        super().__post_init__()
        self.check_counts("width", "steps", "row_images", "test_batch", "fisher_images")


@dataclass(frozen=True)
class Run(IncrementalRecipe):
    """What a run's results depend on.

    Args:
        method: One of `experiments.methods.METHODS` or `MULTI_HEAD`.
        norms: See `NORMS`.
        seed: Of the weights, the contexts and the order of the samples.
        strength: Of the penalty of EWC or SI; none for other methods.
        recipe: The fields of `IncrementalRecipe`.
    """

    method: str
    norms: NormsName
    seed: int
    strength: float | None = None

    @property
    def name(self) -> str:
        """What the run's files are called: all that is not the paper's recipe is in it.

        Example:
            >>> from experiments._incremental_run import CPU_SIZE, Run
            >>> Run("Binary", "batch", seed=0).name
            'icifar-Binary-batch-width64-seed0'
            >>> Run("multi-head-SI", "per-context", seed=1, strength=0.1, width=8, steps=400).name
            'icifar-multi-head-SI-strength0.1-per-context-width8-seed1-steps400'
            >>> Run("Binary", "batch", seed=0, steps=500, **CPU_SIZE).name
            'icifar-cpu-Binary-batch-seed0-steps500'
        """
        at_cpu_size = all(getattr(self, name) == value for name, value in CPU_SIZE.items())
        parts = [self.tasks, "cpu", self.method] if at_cpu_size else [self.tasks, self.method]
        if self.strength is not None:
            parts.append(f"strength{spelled_number(self.strength)}")
        parts += [self.norms] if at_cpu_size else [self.norms, f"width{self.width}"]
        parts.append(f"seed{self.seed}")
        spelled = ["method", "norms", "seed", "strength", "tasks", "width"]
        return name_of_run(self, parts, [*spelled, *(CPU_SIZE if at_cpu_size else ())])

    @property
    def title(self) -> str:
        """For the progress bar."""
        return f"{self.method} {self.norms} {self.width}"

    def cost(self) -> float:
        """A guess of the run's time, in arbitrary units."""
        penalty = penalty_of(self.method)
        share = 1.0 if penalty is None else 1.1 if penalty == "SI" else 1.2
        tasks = {"icifar": 5, "split-cifar100": 20, "split-digits": 5}[self.tasks]
        return share * tasks * self.steps * self.batch * self.width


def learner_of(run: Run, stream: IncrementalStream, device: torch.device | str) -> Learner:
    """The network of a run with what its method adds to it."""
    return build_learner(
        run.method,
        _network(run, stream),
        num_contexts=stream.num_contexts,
        seed=run.seed,
        learning_rate=run.learning_rate,
        strength=run.strength,
        norms=NORMS[run.norms],
        exclude=STEM,
        fisher_images=run.fisher_images,
        device=device,
        precision=run.precision,
    )


def _network(run: Run, stream: IncrementalStream) -> Callable[[int], nn.Module]:
    layout = torch.channels_last if run.channels_last else torch.contiguous_format

    def build(seed: int) -> nn.Module:
        net: nn.Module = build_resnet18(
            run.width, stream.num_classes, seed, channels=stream.sample_shape[0]
        )
        return net.to(memory_format=layout)

    return build


def run_to_record(run: Run, *, folder: Path, device: Device, checkpoint_seconds: float) -> Record:
    """Train and measure, from the beginning or from where an earlier attempt was stopped.

    Args:
        run: What to run.
        folder: See `train_to_record`.
        device: Where to compute.
        checkpoint_seconds: See `train_to_record`.

    Returns:
        The record of `train_to_record`, with the `numbers` stored, and `curve`, `rows`, `final`
        and `test_batches`, see `IncrementalMeasurement`, all as counts of right images.
    """
    where = resolve_device(device)
    stream = stream_of(run.tasks, run.seed, run.batch, run.steps, where)
    learner = learner_of(run, stream, where)
    record = train_to_record(
        "incremental",
        run,
        learner,
        stream,
        measurement_of(run, learner, stream),
        num_steps=stream.num_steps,
        every=run.curve_every,
        folder=folder,
        checkpoint_seconds=checkpoint_seconds,
    )
    return record | {"numbers": num_parameters(learner, stream.num_tasks)}


def measurement_of(run: Run, learner: Learner, stream: IncrementalStream) -> IncrementalMeasurement:
    """What a run measures."""
    return IncrementalMeasurement(
        learner,
        stream,
        every=run.curve_every,
        curve_images=run.curve_images,
        row_images=run.row_images,
        test_batch=run.test_batch,
    )
