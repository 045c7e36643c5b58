"""One run on permuted images: one method, one width, one seed, one record."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import nn

from experiments._permuting_measure import TestSets
from experiments.methods import Accuracies, build_learner, is_complex, num_parameters
from experiments.runner import (
    Recipe,
    build_mlp,
    load_images,
    name_of_run,
    resolve_device,
    train_to_record,
)
from experiments.runner.device import Device
from experiments.runner.learner import Precision
from experiments.runner.record import Record
from experiments.runner.runs import spelled_number
from psp_data import PermutingStream

Dataset = Literal["mnist", "fashion_mnist", "cifar10", "digits"]


@dataclass(frozen=True, kw_only=True)
class PermutingRecipe(Recipe):
    """What all runs of a grid share; the defaults are the paper's recipe."""

    dataset: Dataset = "mnist"
    """The images whose pixels are permuted."""

    tasks: int = 50
    """How many permutations, the identity first."""

    steps: int = 1000
    """Training steps per task."""

    hidden_layers: int = 2
    """How many hidden layers."""

    compile: bool = False
    """Whether to train through torch.compile."""

    row_images: int = 10_000
    """How many test images, of all tasks together, the test of all tasks takes after each task;
    after the last one it takes all that there are."""

    fisher_images: int = 1024
    """Of how many images EWC takes a task's Fisher information."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        super().__post_init__()
        self.check_counts("tasks", "steps", "hidden_layers", "row_images", "fisher_images")


@dataclass(frozen=True)
class Run(PermutingRecipe):
    """What a run's results depend on.

    Args:
        method: One of `experiments.methods.METHODS`.
        width: Units in each hidden layer.
        seed: Of the weights, the contexts, the permutations and the order of the samples.
        strength: Of the penalty of EWC or SI; none for other methods.
        precision: Of the products; bfloat16 keeps weights and optimiser in float32.
        recipe: The fields of `PermutingRecipe`.
    """

    method: str
    width: int
    seed: int
    strength: float | None = None
    precision: Precision = "float32"

    @property
    def name(self) -> str:
        """What the run's files are called: all that is not the paper's recipe is in it.

        Example:
            >>> from experiments._permuting_run import Run
            >>> Run("Binary", 256, seed=0).name
            'mnist-Binary-2x256-seed0'
            >>> Run("SI", 64, seed=1, strength=0.1, dataset="digits", tasks=5).name
            'digits-SI-strength0.1-2x64-seed1-tasks5'
        """
        parts = [self.dataset, self.method]
        if self.strength is not None:
            parts.append(f"strength{spelled_number(self.strength)}")
        parts += [f"{self.hidden_layers}x{self.width}", f"seed{self.seed}"]
        spelled = ("method", "width", "seed", "strength", "dataset", "hidden_layers")
        return name_of_run(self, parts, spelled)

    @property
    def title(self) -> str:
        """For the progress bar."""
        return f"{self.method} {self.width}"

    def cost(self) -> float:
        """A guess of the run's time, in arbitrary units: a step's overhead and its arithmetic."""
        inputs = {"digits": 64, "cifar10": 3072}.get(self.dataset, 784)
        lengths = [inputs] + [self.width] * (self.hidden_layers - 1)
        weights = sum(length * self.width for length in lengths)
        products = 2.6 * weights * self.batch * (4 if is_complex(self.method) else 1)
        if self.method == "Rotation":
            products += 2 * sum(length**2 for length in lengths) * self.batch
        if self.precision == "bfloat16":
            products /= 2
        memory = weights * {"EWC": 9, "OnlineEWC": 9, "SI": 30}.get(self.method, 3) * 10
        return self.tasks * self.steps * (1e7 + products + memory)


def run_to_record(run: Run, *, folder: Path, device: Device, checkpoint_seconds: float) -> Record:
    """Train and measure, from the beginning or from where an earlier attempt was stopped.

    Args:
        run: What to run.
        folder: See `train_to_record`.
        device: Where to compute.
        checkpoint_seconds: See `train_to_record`.

    Returns:
        The record of `train_to_record`, with the `numbers` stored, and `curve`, `rows` and
        `final`, see `Accuracies`, all as counts of right images.
    """
    where = resolve_device(device)
    stream = PermutingStream(
        load_images(run.dataset).to(where),
        num_tasks=run.tasks,
        seed=run.seed,
        batch_size=run.batch,
        steps_per_task=run.steps,
    )

    def build(seed: int) -> nn.Module:
        (inputs,) = stream.sample_shape
        return build_mlp(inputs, run.width, stream.num_classes, seed, run.hidden_layers)

    learner = build_learner(
        run.method,
        build,
        num_contexts=run.tasks,
        seed=run.seed,
        learning_rate=run.learning_rate,
        strength=run.strength,
        fisher_images=run.fisher_images,
        device=where,
        precision=run.precision,
        compiled=run.compile,
    )
    measurement = Accuracies(
        learner,
        stream,
        TestSets(stream),
        num_steps=stream.num_steps,
        every=run.curve_every,
        curve_images=run.curve_images,
        row_images=run.row_images,
    )
    record = train_to_record(
        "permuting",
        run,
        learner,
        stream,
        measurement,
        num_steps=stream.num_steps,
        every=run.curve_every,
        folder=folder,
        checkpoint_seconds=checkpoint_seconds,
    )
    return record | {"numbers": num_parameters(learner, run.tasks)}
