"""The command `capacity.py predict`: train the first few networks, and predict the rest."""

import hashlib
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from experiments.methods.method import FAMILIES, METHODS
from experiments.runner.figure import colour_of, save_figure
from experiments.runner.grid import run_grid
from experiments.runner.groups import markdown_table
from experiments.runner.record import Record, start_record
from experiments.runner.run import sweep
from experiments.runner.settings import GridSettings
from experiments.runner.survey import Survey
from experiments.studies.capacity.prediction import Plan, train_and_predict
from experiments.studies.capacity.summary import predicted_curve
from experiments.studies.permuting.run import Dataset, PermutingRun


@dataclass(frozen=True, kw_only=True)
class PredictConfig(GridSettings):
    """Networks to train and to predict; the recipe is the paper's."""

    dataset: Dataset = "digits"
    """Images that the networks learn."""

    family: tuple[str, ...] = ("Binary",)
    """Families of contexts."""

    width: tuple[int, ...] = (256,)
    """Units in each of the two hidden layers."""

    models: int = 1000
    """Number of networks to predict for."""

    observed: int = 5
    """Number of networks to train."""

    steps: int = 1000
    """Training steps per task."""

    batch: int = 128
    """Samples in a training batch."""

    learning_rate: float = 1e-4
    """RMSprop learning rate."""

    test_images: int = 1000
    """Largest number of test images for each task."""

    seed: int = 0
    """Seed of the weights, the contexts, the permutations and the order of the samples."""

    tolerance: tuple[float, ...] = (1.0, 5.0)
    """Points of mean accuracy that the other models may cost."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        self.check_choices("family", tuple(name for name in FAMILIES if name != "Identity"))
        self.check_counts("width", "steps", "batch", "test_images")
        self.check_counts("seed", least=0)
        self.check_counts("observed", least=3)
        self.check_positive("learning_rate", "tolerance")
        if self.models < self.observed:
            raise ValueError(f"models={self.models} must be at least observed={self.observed}.")

    @property
    def name(self) -> str:
        """Stem of the files."""
        settings = {field.name for field in fields(GridSettings)}
        study = {name: value for name, value in asdict(self).items() if name not in settings}
        digest = hashlib.blake2b(repr(study).encode(), digest_size=4).hexdigest()
        return f"predict-{self.dataset}-{digest}"


def measure(config: PredictConfig) -> Record:
    """Train the first networks of every family and width, and predict the rest."""
    runs = sweep(
        PermutingRun,
        dataset=config.dataset,
        method=tuple(METHODS[family] for family in config.family),
        width=config.width,
        seed=config.seed,
        tasks=config.observed,
        steps=config.steps,
        batch=config.batch,
        learning_rate=config.learning_rate,
        curve_every=config.steps,
        row_images=config.test_images * config.observed,
    )
    folder = config.out / f"{config.name}.parts"
    plan = Plan(config.observed, config.models, config.tolerance)
    train = partial(train_and_predict, plan=plan, folder=folder.absolute(), device=config.device)
    record = start_record("predict", config)
    results = run_grid(train, runs, config, title="prediction", folder=folder)
    record["predicted"] = [
        {"family": str(run.method), "width": run.width, "seed": run.seed, **result["predicted"]}
        for run, result in zip(runs, results, strict=True)
    ]
    return record


def report(record: Record) -> str:
    """Format how many networks will fit, with the predicted accuracy of K networks."""
    config = record["config"]
    counts = [count for count in (1, 10, 100, 1000, 10_000) if count < config["models"]]
    counts.append(config["models"])
    head = [
        *(f"{points:g} point{'s' * (points != 1)} lost" for points in config["tolerance"]),
        *map(str, counts),
    ]
    rows = []
    for run in record["predicted"]:
        accuracy = predicted_curve(run)[0]
        capacities = [_capacity(run["capacity"][f"{points:g}"]) for points in config["tolerance"]]
        accuracies = [f"{100 * accuracy[count - 1]:.1f}" for count in counts]
        rows.append([f"{run['family']}, {run['width']} units", *capacities, *accuracies])
    return (
        f"Networks on permuted {config['dataset']}, predicted from the first {config['observed']}: "
        "how many fit (95 % interval), and the mean accuracy of K networks in percent\n\n"
        f"{markdown_table(['network', *head], rows, aligned=True)}"
    )


def _capacity(capacity: Record) -> str:
    if capacity["at_limit"]:
        return f"≥ {capacity['models']}"
    if capacity["observed"]:
        return f"{capacity['models']} (measured)"
    return f"{capacity['models']} ({capacity['low']}–{capacity['high']})"


def draw(record: Record, path: Path) -> list[Path]:
    """Draw the predicted mean accuracy of K networks, with what was measured."""
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for run in record["predicted"]:
        centre, spread = (100 * np.array(part) for part in predicted_curve(run))
        counts = np.arange(1, len(centre) + 1)
        label = f"{run['family']}, {run['width']} units"
        (line,) = axes.plot(counts, centre, "--", label=label, color=_colour(record, run))
        axes.fill_between(
            counts, centre - spread, centre + spread, color=line.get_color(), alpha=0.15, lw=0
        )
        measured = [100 * np.mean(row) for row in run["measured"]]
        axes.plot(range(1, len(measured) + 1), measured, "o", ms=4, color=line.get_color())
    axes.set(xscale="log", xlabel="networks stored, K", ylabel="mean accuracy of all K (%)")
    axes.set(title=f"Permuted {record['config']['dataset']}: measured (points) and predicted")
    axes.legend(fontsize=8)
    return save_figure(figure, path)


def _colour(record: Record, run: Record) -> str | None:
    """Return the family's colour; matplotlib's next one where widths are compared."""
    return colour_of(run["family"]) if len(record["config"]["width"]) == 1 else None


PREDICT = Survey(
    name="predict",
    config=PredictConfig,
    presets={},
    measure=measure,
    report=report,
    figures=draw,
)
