"""A run on permuted images: one method, one width, one seed."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from experiments.methods.accuracies import Accuracies
from experiments.methods.method import METHODS, Method
from experiments.runner.images import load_images, pad_images, take_evenly
from experiments.runner.learner import Learner, Precision
from experiments.runner.networks import build_mlp
from experiments.runner.optimiser import OptimiserName
from experiments.runner.run import Run, spell_number
from psp_data import PermutingStream

Dataset = Literal["mnist", "fashion_mnist", "cifar10", "digits"]

SHAPES = {"mnist": (1, 28), "fashion_mnist": (1, 28), "cifar10": (3, 32), "digits": (1, 8)}
"""Channels and side of an image."""

STRENGTHS = {"EWC": 0.01, "OnlineEWC": 3.0, "SI": 1.0}
"""Default strengths of the penalties: the best ones of the preset `search` on the last ten tasks,
which the paper's table averages."""


@dataclass(frozen=True, kw_only=True)
class PermutingRun(Run):
    """Everything that a result depends on; most defaults are the paper's recipe.

    Example:
        >>> from experiments.methods.method import Method
        >>> from experiments.studies.permuting.run import PermutingRun
        >>> PermutingRun().name
        'mnist-Binary-2x256-seed0'
        >>> run = PermutingRun(method=Method(penalty="SI"), width=64, dataset="digits", tasks=5)
        >>> run.name
        'digits-SI-strength1-2x64-seed0-tasks5'
    """

    dataset: Dataset = "mnist"
    """Images whose pixels are permuted."""

    tasks: int = 50
    """Number of permutations; the first is the identity."""

    steps: int = 1000
    """Training steps per task."""

    hidden_layers: int = 2
    """Number of hidden layers."""

    compile: bool = False
    """Train through torch.compile."""

    row_images: int = 10_000
    """Test images, of all tasks together, for a test after each task; the final one takes all."""

    fisher_images: int = 1024
    """Images from which EWC estimates a task's Fisher information."""

    method: Method = METHODS["Binary"]
    """Methods by name; an unknown name prints all."""

    width: int = 256
    """Units in each hidden layer."""

    seed: int = 0
    """Seeds of the weights, the contexts, the permutations and the order of the samples."""

    strength: float | None = None
    """Strengths of the penalty of EWC or SI; by default the best one of the preset `search`."""

    precision: Precision = "float32"
    """Precision of the products; bfloat16 keeps weights and optimiser in float32."""

    later_learning_rate: float | None = None
    """Learning rate from the second task on; by default that of the first."""

    optimiser: OptimiserName = "RMSprop"
    """RMSprop with α 0.99, or Adam with torch's other defaults."""

    pixels: Literal["standardised", "unit"] = "standardised"
    """Pixels less their mean over their standard deviation, or in [0, 1]."""

    padding: int = 0
    """Black pixels around the image, permuted with the others."""

    def __post_init__(self) -> None:
        """Check the fields, and fill in the strength of a penalty."""
        super().__post_init__()
        self.check_choices("method", tuple(name for name in METHODS if not METHODS[name].heads))
        self.check_counts("tasks", "steps", "hidden_layers", "row_images", "fisher_images", "width")
        self.check_counts("seed", "padding", least=0)
        self.check_positive("strength", "later_learning_rate")
        self.method.check_dim(self.width)
        if not self.method.penalty:
            self.fill("strength", None)
        elif self.strength is None:
            self.fill("strength", STRENGTHS[self.method.penalty])

    @property
    def name(self) -> str:
        """Stem of the run's files, with everything that is not the paper's recipe."""
        parts = [self.dataset, str(self.method)]
        if self.strength is not None:
            parts.append(f"strength{spell_number(self.strength)}")
        parts += [f"{self.hidden_layers}x{self.width}", f"seed{self.seed}"]
        spelled = ("method", "width", "seed", "strength", "dataset", "hidden_layers")
        return self.spell(parts, spelled)

    @property
    def image_sets(self) -> tuple[str, ...]:
        """The images whose pixels are permuted."""
        return (self.dataset,)

    @property
    def inputs(self) -> int:
        """Length of a sample."""
        channels, side = SHAPES[self.dataset]
        return channels * (side + 2 * self.padding) ** 2

    def cost(self) -> float:
        """Estimate the time of the steps: their overhead, products and memory traffic."""
        lengths = [self.inputs] + [self.width] * (self.hidden_layers - 1)
        weights = sum(length * self.width for length in lengths)
        products = 2.6 * weights * self.batch * (4 if self.method.is_complex else 1)
        if self.method == METHODS["Rotation"]:
            products += 2 * sum(length**2 for length in lengths) * self.batch
        if self.precision == "bfloat16":
            products /= 2
        traffic = {None: 3, "SI": 30}.get(self.method.penalty, 9)
        return self.tasks * self.steps * (1e7 + products + 10 * traffic * weights)


class PermutedTestImages:
    """The test images of every task.

    At 50 tasks of 1000 steps, the curve takes 500 images 8 times a task and a full row of the
    accuracy matrix 10,000, which makes 200,000 + 255,000; the final row takes 500,000 more. A
    network processes a test image in a third of the time of a training sample: 4 to 5 % of a run.

    Args:
        stream: The stream; its test images are scaled once, and permuted when they are needed.
    """

    def __init__(self, stream: PermutingStream) -> None:
        self._stream = stream
        self._images = stream.images.scaled(stream.images.test_images.flatten(1))
        self._labels = stream.images.test_labels
        self.counts = [len(self._labels)] * stream.num_tasks

    def __call__(self, task: int, count: int) -> tuple[Tensor, Tensor]:
        """Return `count` evenly spaced test images as `task` shows them, and their labels."""
        images, labels = take_evenly(self._images, self._labels, count)
        return images.index_select(1, self._stream.permutation(task)) if task else images, labels


def prepare(run: PermutingRun, device: torch.device) -> tuple[Learner, PermutingStream, Accuracies]:
    """Build the learner, the stream and the measurement of a run."""
    images = pad_images(load_images(run.dataset), run.padding)
    if run.pixels == "unit":
        images = replace(images, mean=0.0, std=1.0)
    stream = PermutingStream(
        images.to(device),
        num_tasks=run.tasks,
        seed=run.seed,
        batch_size=run.batch,
        steps_per_task=run.steps,
    )
    learner = learner_of(run, stream.num_classes, device)
    tests = PermutedTestImages(stream)
    return learner, stream, Accuracies(learner, stream, tests, run, row_images=run.row_images)


def learner_of(run: PermutingRun, classes: int, device: torch.device | str = "cpu") -> Learner:
    """Build the learner of a run."""

    def build(seed: int) -> nn.Module:
        return build_mlp(run.inputs, run.width, classes, seed, run.hidden_layers)

    return run.method.learner(
        build,
        num_contexts=run.tasks,
        seed=run.seed,
        learning_rate=run.learning_rate,
        later_learning_rate=run.later_learning_rate,
        optimiser=run.optimiser,
        strength=run.strength,
        fisher_images=run.fisher_images,
        device=device,
        precision=run.precision,
        compiled=run.compile,
    )


def learner_of_config(config: dict[str, Any]) -> Learner:
    """Build the learner of a record's config."""
    run = PermutingRun(**{**config, "method": Method.parse(config["method"])})
    return learner_of(run, classes=10)
