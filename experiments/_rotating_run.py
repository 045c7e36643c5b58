"""One run on turning images: one method, one way to choose contexts, one seed, one record."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import nn

from experiments._rotating_choosing import ByAppearance, ByConfidence, Chooser, Choosing
from experiments._rotating_measure import Measurement
from experiments.methods import build_learner, is_complex, num_parameters
from experiments.runner import (
    Learner,
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
from psp_data import RotatingStream

Dataset = Literal["mnist", "fashion_mnist", "digits"]

Choose = Literal["clock", "appearance", "confidence"]


@dataclass(frozen=True, kw_only=True)
class RotatingRecipe(Recipe):
    """What all runs of a grid share; the defaults are the paper's recipe."""

    width: int = 256
    """Units in each hidden layer."""

    turns: int = 50
    """How often the images turn round."""

    period: int = 1000
    """Training steps in a turn."""

    precision: Precision = "float32"
    """Of the products; bfloat16 keeps weights and optimiser in float32."""

    compile: bool = False
    """Whether to train through torch.compile."""

    inferred_every: int = 1000
    """Steps between two tests at 0° with contexts inferred from the test images."""

    inferred_images: int = 250
    """How many test images are taken where each is looked at under many contexts."""

    edge_images: int = 1000
    """How many test images an angle around the end of a window takes."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        super().__post_init__()
        self.check_counts("width", "turns", "period", "inferred_every", "inferred_images")
        self.check_counts("edge_images")
        if self.inferred_every % self.curve_every:
            raise ValueError(
                f"inferred_every={self.inferred_every} must be a multiple of "
                f"curve_every={self.curve_every}."
            )


@dataclass(frozen=True)
class Run(RotatingRecipe):
    """What a run's results depend on.

    Args:
        method: `standard`, or one that superposes, see `experiments.methods.CONTEXTS`.
        seed: Of the weights, the contexts and the order of the samples.
        dataset: The images.
        contexts: How many; by the clock a turn is divided among them evenly. One for `standard`.
        choose: What chooses the context of a batch.
        hidden_layers: How many hidden layers.
        recipe: The fields of `RotatingRecipe`.
    """

    method: str
    seed: int
    dataset: Dataset = "fashion_mnist"
    contexts: int = 10
    choose: Choose = "clock"
    hidden_layers: int = 2

    @property
    def name(self) -> str:
        """What the run's files are called: all that is not the paper's recipe is in it.

        Example:
            >>> from experiments._rotating_run import Run
            >>> Run("Binary", seed=0).name
            'fashion_mnist-Binary-10-2x256-seed0'
            >>> Run("Complex", seed=1, dataset="mnist", choose="appearance", turns=5).name
            'mnist-Complex-10-appearance-2x256-seed1-turns5'
        """
        parts = [self.dataset, self.method]
        if self.method != "standard":
            parts.append(f"{self.contexts}")
        if self.choose != "clock":
            parts.append(self.choose)
        parts += [f"{self.hidden_layers}x{self.width}", f"seed{self.seed}"]
        spelled = ("method", "seed", "dataset", "contexts", "choose", "hidden_layers", "width")
        return name_of_run(self, parts, spelled)

    @property
    def title(self) -> str:
        """For the progress bar."""
        by = "" if self.choose == "clock" else f" by {self.choose}"
        return f"{self.method} {self.contexts}{by} on {self.dataset}"

    def cost(self) -> float:
        """A guess of the run's time, in arbitrary units: a step's overhead and its arithmetic."""
        inputs = 64 if self.dataset == "digits" else 784
        lengths = [inputs] + [self.width] * (self.hidden_layers - 1)
        products = 2.6 * sum(length * self.width for length in lengths) * self.batch
        if is_complex(self.method):
            products *= 4
        if self.choose == "confidence":
            products *= 1 + self.contexts / 12  # a pass for every context, of some of the images
        if self.method == "Rotation":
            products += 2 * sum(length**2 for length in lengths) * self.batch
        return self.turns * self.period * (2e7 + products)


def run_to_record(run: Run, *, folder: Path, device: Device, checkpoint_seconds: float) -> Record:
    """Train and measure, from the beginning or from where an earlier attempt was stopped.

    Args:
        run: What to run.
        folder: See `train_to_record`.
        device: Where to compute.
        checkpoint_seconds: See `train_to_record`.

    Returns:
        The record of `train_to_record`, with the `numbers` stored, and the parts of
        `Measurement`, all as counts of right images.
    """
    where = resolve_device(device)
    stream = RotatingStream(
        load_images(run.dataset).to(where),
        run.seed,
        period=run.period,
        num_contexts=run.contexts,
        num_tasks=1,
        batch_size=run.batch,
    )
    learner = _learner(run, stream)
    num_steps = run.turns * run.period
    measurement = Measurement(
        learner,
        stream,
        num_steps=num_steps,
        every=run.curve_every,
        images=run.curve_images,
        inferred_every=run.inferred_every,
        inferred_images=run.inferred_images,
        edge_images=run.edge_images,
    )
    record = train_to_record(
        "rotating",
        run,
        learner,
        stream,
        measurement,
        num_steps=num_steps,
        every=run.curve_every,
        folder=folder,
        checkpoint_seconds=checkpoint_seconds,
    )
    numbers = num_parameters(learner, run.contexts)
    if isinstance(learner, Choosing):
        added = learner.chooser.parameters_per_context
        numbers["total"] += run.contexts * added
        numbers["per_added_model"] += added
    return record | {"numbers": numbers}


def _learner(run: Run, stream: RotatingStream) -> Learner:
    pixels = stream.images.train_images[0].numel()

    def build(seed: int) -> nn.Module:
        layers = build_mlp(pixels, run.width, stream.num_classes, seed, run.hidden_layers)
        return nn.Sequential(nn.Flatten(), *layers)

    learner = build_learner(
        run.method,
        build,
        num_contexts=run.contexts,
        seed=run.seed,
        learning_rate=run.learning_rate,
        device=stream.device,
        precision=run.precision,
        compiled=run.compile,
    )
    if run.choose == "clock":
        return learner
    chooser: Chooser = (
        ByAppearance(run.contexts, pixels, stream.device)
        if run.choose == "appearance"
        else ByConfidence(run.contexts, learner.net)
    )
    options = {"precision": run.precision, "compiled": run.compile}
    return Choosing(learner.net, learner.optimiser, chooser, **options)
