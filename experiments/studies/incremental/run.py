"""A run on incremental CIFAR: one method, one treatment of BatchNorm, one seed."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from experiments.methods.method import METHODS, Method
from experiments.runner.learner import Learner, Precision
from experiments.runner.networks import build_resnet18
from experiments.runner.run import Run, spell_number
from experiments.studies.incremental.measure import IncrementalMeasurement, TestImages
from experiments.studies.incremental.tasks import CLASSES_PER_TASK, IMAGE_SETS, Tasks, stream_of
from psp_data import IncrementalStream
from psp_nn import Norms

NormsName = Literal["batch", "per-context", "shared"]

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
"""Size of the presets for a CPU, except their steps: 1/8 of the paper's channels, so 1/64 of its
weights, and half its batch. Names of runs abbreviate it to `cpu`."""

STRENGTHS = {
    "EWC": 30.0,
    "OnlineEWC": 100.0,
    "SI": 3.0,
    "multi-head-EWC": 300.0,
    "multi-head-SI": 30.0,
}
"""Default strengths of the penalties: those of the preset `search` with the highest accuracy on
all tasks at the end."""

STEM = "conv1"
"""Layer that all models share, as in the paper."""


@dataclass(frozen=True, kw_only=True)
class IncrementalRun(Run):
    """Everything that a result depends on; most defaults are the paper's recipe.

    Example:
        >>> from experiments.methods.method import METHODS
        >>> from experiments.studies.incremental.run import CPU_SIZE, IncrementalRun
        >>> IncrementalRun(norms="batch").name
        'icifar-Binary-batch-width64-seed0'
        >>> method = METHODS["multi-head-SI"]
        >>> IncrementalRun(method=method, norms="shared", strength=0.1, width=8, steps=400).name
        'icifar-multi-head-SI-strength0.1-shared-width8-seed0-steps400'
        >>> IncrementalRun(norms="batch", steps=500, **CPU_SIZE).name
        'icifar-cpu-Binary-batch-seed0-steps500'
    """

    learning_rate: float = 1e-3
    """RMSprop learning rate."""

    later_learning_rate: float | None = None
    """RMSprop learning rate from the second task on; by default that of the first."""

    curve_every: int = 500
    """Steps between two tests on task 0."""

    curve_images: int = 2000
    """Test images for a test on task 0."""

    tasks: Tasks = "icifar"
    """CIFAR-10 and four tens of CIFAR-100; CIFAR-100 by fives; the digits by twos."""

    width: int = 64
    """Channels of the first stage of the ResNet-18."""

    steps: int = 20_000
    """Training steps per task."""

    precision: Precision = "float32"
    """Precision of the products; bfloat16 keeps weights and optimiser in float32."""

    channels_last: bool = False
    """Keep the channels of an activation adjacent in memory, for faster convolutions."""

    row_images: int = 5000
    """Test images, of all tasks together, for a test after each task; the final one takes all."""

    test_batch: int = 1000
    """Largest test batch; batch statistics depend on it."""

    fisher_images: int = 1024
    """Images from which EWC estimates a task's Fisher information."""

    method: Method = METHODS["Binary"]
    """Methods by name; an unknown name prints all."""

    norms: NormsName | None = None
    """Statistics and affine of BatchNorm: batch statistics without affine (the paper's), one set
    per context, or one shared set; by default batch for rivals, per-context for superposed nets,
    else shared."""

    seed: int = 0
    """Seeds of the weights, the contexts and the order of the samples."""

    strength: float | None = None
    """Strengths of the penalty of EWC or SI; by default the best one of the preset `search`."""

    def __post_init__(self) -> None:
        """Check the fields, and fill in the norms and the strength of a penalty."""
        super().__post_init__()
        self.check_counts("width", "steps", "row_images", "test_batch", "fisher_images")
        self.check_counts("seed", least=0)
        self.check_positive("strength", "later_learning_rate")
        self.method.check_dim(self.width)
        if self.norms is None:
            default = "per-context" if self.method.family else "shared"
            self.fill("norms", "batch" if self.method.rival else default)
        if self.method.rival and self.norms != "batch":
            raise ValueError(f"{self.method} keeps no norms for each model; use norms batch.")
        if not self.method.penalty:
            self.fill("strength", None)
        elif self.strength is None:
            if str(self.method) not in STRENGTHS:
                raise ValueError(f"{self.method} has no searched strength; give --strength.")
            self.fill("strength", STRENGTHS[str(self.method)])
        if self.method.separate and self.later_learning_rate is not None:
            raise ValueError(
                "later_learning_rate has no effect on single, which has no later task."
            )
        if self.method.penalty in ("EWC", "OnlineEWC") and self.norms == "batch":
            raise ValueError(
                f"{self.method} differentiates single images, which have no batch statistics; "
                "use norms shared or per-context."
            )

    @property
    def name(self) -> str:
        """Stem of the run's files, with everything that is not the paper's recipe."""
        is_cpu_size = all(getattr(self, name) == value for name, value in CPU_SIZE.items())
        parts = (
            self.tasks,
            "cpu" if is_cpu_size else None,
            str(self.method),
            None if self.strength is None else f"strength{spell_number(self.strength)}",
            self.norms,
            None if is_cpu_size else f"width{self.width}",
            f"seed{self.seed}",
        )
        spelled = ["method", "norms", "seed", "strength", "tasks", "width"]
        return self.spell(filter(None, parts), [*spelled, *(CPU_SIZE if is_cpu_size else ())])

    @property
    def image_sets(self) -> tuple[str, ...]:
        """The image sets of the tasks."""
        return IMAGE_SETS[self.tasks]

    def cost(self) -> float:
        """Estimate the time of the steps."""
        factor = {None: 1.0, "SI": 1.1}.get(self.method.penalty, 1.2)
        tasks = {"icifar": 5, "split-cifar100": 20, "split-digits": 5}[self.tasks]
        return factor * tasks * self.steps * self.batch * self.width


def prepare(
    run: IncrementalRun, device: torch.device
) -> tuple[Learner, IncrementalStream, IncrementalMeasurement]:
    """Build the learner, the stream and the measurement of a run."""
    stream = stream_of(run.tasks, run.seed, run.batch, run.steps, device)
    learner = learner_of(run, stream, device)
    measurement = IncrementalMeasurement(
        learner,
        stream,
        TestImages(stream),
        run,
        row_images=run.row_images,
        test_batch=run.test_batch,
    )
    return learner, stream, measurement


def learner_of(
    run: IncrementalRun, stream: IncrementalStream, device: torch.device | str
) -> Learner:
    """Build the learner of a run on a stream."""
    channels, classes = stream.sample_shape[0], stream.num_classes
    return _learner(run, channels, classes, stream.num_contexts, device)


def learner_of_config(config: dict[str, Any]) -> Learner:
    """Build the learner of a record's config, for two tasks, without its images."""
    run = IncrementalRun(**{**config, "method": Method.parse(config["method"])})
    channels = 1 if run.tasks == "split-digits" else 3
    return _learner(run, channels, CLASSES_PER_TASK.get(run.tasks, 10), 2, "cpu")


def _learner(
    run: IncrementalRun, channels: int, classes: int, contexts: int, device: torch.device | str
) -> Learner:
    def build(seed: int) -> nn.Module:
        net: nn.Module = build_resnet18(run.width, classes, seed, channels=channels)
        layout = torch.channels_last if run.channels_last else torch.contiguous_format
        return net.to(memory_format=layout)

    assert run.norms is not None
    return run.method.learner(
        build,
        num_contexts=contexts,
        seed=run.seed,
        learning_rate=run.learning_rate,
        later_learning_rate=run.later_learning_rate,
        strength=run.strength,
        norms=Norms(run.norms),
        exclude=(STEM,),
        fisher_images=run.fisher_images,
        device=device,
        precision=run.precision,
    )
