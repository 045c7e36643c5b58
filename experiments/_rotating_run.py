"""One run on turning images: one method, one way to choose contexts, one seed, one record."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import nn

from experiments._rotating_choosing import ByAppearance, ByConfidence, Chooser, Choosing
from experiments._rotating_measure import Measurement
from experiments.methods import build_learner, count_numbers, is_complex
from experiments.runner import (
    Learner,
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


@dataclass(frozen=True)
class Run:
    """What a run's results depend on; the defaults are the paper's recipe.

    Args:
        method: `standard`, or one that superposes, see `experiments.methods.CONTEXTS`.
        seed: Of the weights, the contexts and the order of the samples.
        dataset: The images.
        contexts: How many; by the clock a turn is divided among them evenly. One for `standard`.
        choose: What chooses the context of a batch.
        hidden_layers: How many hidden layers.
        width: Units in each hidden layer.
        turns: How often the images turn round.
        period: Steps in a turn.
        batch: Samples in a training batch.
        learning_rate: Of RMSprop.
        precision: Of the products.
        compile: Whether to train through `torch.compile`.
        curve_every: See `Measurement`.
        curve_images: See `Measurement`.
        inferred_every: See `Measurement`.
        inferred_images: See `Measurement`.
        edge_images: See `Measurement`.
    """

    method: str
    seed: int
    dataset: Dataset = "fashion_mnist"
    contexts: int = 10
    choose: Choose = "clock"
    hidden_layers: int = 2
    width: int = 256
    turns: int = 50
    period: int = 1000
    batch: int = 128
    learning_rate: float = 1e-4
    precision: Precision = "float32"
    compile: bool = False
    curve_every: int = 125
    curve_images: int = 500
    inferred_every: int = 1000
    inferred_images: int = 250
    edge_images: int = 1000

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
    numbers = count_numbers(learner, run.contexts)
    if isinstance(learner, Choosing):
        added = learner.chooser.numbers_per_context
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
