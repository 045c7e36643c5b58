"""How many models fit into one set of weights?

Measures, on the handwritten digits that ship with scikit-learn unless told otherwise,

1. *retrieval*: the signal-to-noise ratio of a model read back from among K stored ones, family by
   family, for aligned models and for the layers of trained networks, beside the closed form;
2. *networks*: how many two-hidden-layer networks, trained one after the other with a context
   each, stay within a tolerance of the accuracy they had when just learned.

    python experiments/capacity.py                    # two to three minutes on two cores
    python experiments/capacity.py smoke              # its smallest form, seconds
    python experiments/capacity.py mnist --jobs 2     # the study on MNIST, an hour

It prints the tables and leaves one record (JSON) and the figures (PNG and SVG).
"""

import hashlib
import shutil
import sys
from dataclasses import asdict, dataclass, fields
from functools import partial
from itertools import cycle
from typing import Literal

from experiments._capacity_figures import draw
from experiments._capacity_networks import NetworkCell, Training, train_and_test
from experiments._capacity_retrieval import (
    AlignedCell,
    TrainedCell,
    retrieve_aligned,
    retrieve_trained,
)
from experiments._capacity_summary import report
from experiments.runner import (
    FAMILIES,
    GridSettings,
    load_images,
    parse,
    reported,
    resolve_device,
    run_grid,
    start_record,
    write_record,
)
from experiments.runner.record import Record

Dataset = Literal["digits", "mnist", "fashion_mnist", "cifar10"]


@dataclass(frozen=True, kw_only=True)
class Config(GridSettings):
    """What to measure. Every bad value is refused before any work starts."""

    dataset: Dataset = "digits"
    """The images that the networks learn."""

    families: tuple[str, ...] = tuple(FAMILIES)
    """Families of contexts; Identity is the standard network."""

    untrained: tuple[str, ...] = ("BlockRotation", "LocalMix", "OnePower")
    """Families to train no networks with, which takes most of the time."""

    widths: tuple[int, ...] = (64, 128, 256)
    """Units in each of the two hidden layers."""

    tasks: int = 50
    """How many networks to train one after the other: the largest K that can be found."""

    steps: int = 64
    """Training steps per task."""

    batch: int = 64
    """Samples in a training batch."""

    learning_rate: float = 1e-3
    """Of RMSprop."""

    test_images: int = 1000
    """How many test images at the most each task is tested on after every task."""

    seeds: tuple[int, ...] = (2,)
    """How many seeds, 0, 1, …, to run from: one number, or one for every width."""

    tolerance: tuple[float, ...] = (1.0, 5.0)
    """Points of mean accuracy that may be lost to the other models."""

    dims: tuple[int, ...] = (32, 64, 128, 256)
    """Lengths of the vectors in the study of retrieval."""

    models: int = 128
    """How many aligned models to store in the study of retrieval."""

    draws: int = 4
    """From how many seeds to draw the contexts of the aligned models."""

    trained_models: int = 16
    """How many networks to train apart, for retrieval from real layers."""

    target_snr: float = 4.0
    """The signal-to-noise ratio that a retrieved model shall keep."""

    jobs: int = 2
    """Processes, of one thread each."""

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        super().__post_init__()
        names = tuple(FAMILIES)
        self.check_choices("families", names)
        self.check_choices("untrained", names)
        for field in ("families", "widths", "tolerance", "dims"):
            values = getattr(self, field)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{field} must be different values, at least one, not {values}.")
        self.check_counts("widths", "dims", "tasks", "steps", "batch", "test_images", "draws")
        self.check_positive("learning_rate", "target_snr")
        if not all(0 < points < 100 for points in self.tolerance):
            raise ValueError(f"tolerance must be points between 0 and 100, not {self.tolerance}.")
        for field in ("models", "trained_models"):
            if getattr(self, field) < 2:
                raise ValueError(f"{field} must be at least 2, not {getattr(self, field)}.")
        if len(self.seeds) not in (1, len(self.widths)) or min(self.seeds) < 1:
            raise ValueError(
                f"seeds must be one number or one for each of the {len(self.widths)} widths, all "
                f"at least 1, not {self.seeds}."
            )
        for name in self.families:
            for dim in {*self.dims, *self.widths}:
                FAMILIES[name](dim, 1, seed=0)  # some have no map for some lengths

    @property
    def trained(self) -> tuple[str, ...]:
        """The families to train networks with."""
        return tuple(name for name in self.families if name not in self.untrained)

    @property
    def name(self) -> str:
        """What the files are called: another name for every other study."""
        for name, preset in {"digits": Config(), **PRESETS}.items():
            if self._study() == preset._study():
                return f"capacity-{name}"
        digest = hashlib.blake2b(repr(self._study()).encode(), digest_size=4).hexdigest()
        return f"capacity-{self.dataset}-{digest}"

    def _study(self) -> dict[str, object]:
        """All but what plays no part in the results."""
        settings = {field.name for field in fields(GridSettings)}
        return {name: value for name, value in asdict(self).items() if name not in settings}


SMOKE = Config(
    widths=(8, 16), tasks=3, steps=5, seeds=(1,), dims=(16, 32), models=8, trained_models=4, jobs=1
)
"""Every family, every part, nothing to be learned from the numbers."""

MNIST = Config(
    dataset="mnist",
    untrained=("BlockRotation", "Complex", "LocalMix", "OnePower", "Permutation"),
    widths=(128, 256, 512, 1024),
    steps=100,
    batch=128,
    test_images=500,
    learning_rate=3e-4,
    seeds=(3, 3, 3, 1),
)
"""The study at the paper's size of images."""

PRESETS = {"smoke": SMOKE, "mnist": MNIST}


def run(config: Config) -> Record:
    """Measure everything, in `config.jobs` processes.

    Args:
        config: What to measure.

    Returns:
        The record, to be written.
    """
    record = start_record("capacity", config)
    device = str(resolve_device(config.device))
    training = Training(config.dataset, config.steps, config.batch, config.learning_rate, device)
    seeds = dict(zip(config.widths, cycle(config.seeds), strict=False))
    grid = partial(run_grid, settings=config, folder=config.out / f"{config.name}.parts")

    aligned = [
        AlignedCell(family, dim, config.models, seed, device)
        for family in config.families
        for dim in config.dims
        for seed in range(config.draws)
    ]
    curves = grid(retrieve_aligned, aligned, title="retrieval")
    record["aligned"] = [
        {"family": cell.family, "dim": cell.dim, "seed": cell.seed, **curve}
        for cell, curve in zip(aligned, curves, strict=True)
    ]

    trained = [
        TrainedCell(config.families, width, config.trained_models, seed, training)
        for width in config.widths
        for seed in range(seeds[width])
    ]
    layers = grid(retrieve_trained, trained, title="layers")
    record["trained"] = [
        {"width": cell.width, "seed": cell.seed, "families": by_family}
        for cell, by_family in zip(trained, layers, strict=True)
    ]

    nets = [
        NetworkCell(family, width, seed, config.tasks, config.test_images, training)
        for family in config.trained
        for width in config.widths
        for seed in range(seeds[width])
    ]
    results = grid(train_and_test, nets, title="networks")
    record["networks"] = [
        {"family": cell.family, "width": cell.width, "seed": cell.seed, **result}
        for cell, result in zip(nets, results, strict=True)
    ]
    return record


def main() -> None:
    """The command."""
    config = parse(Config, PRESETS, __doc__)
    with reported():
        images = load_images(config.dataset)
        if config.batch > len(images.train_labels):
            sys.exit(
                f"error: batch={config.batch} is more than the {len(images.train_labels)} images "
                "to train on; take fewer."
            )
        path = config.out / config.name
        record = write_record(path.with_suffix(".json"), run(config))
    shutil.rmtree(path.with_suffix(".parts"), ignore_errors=True)
    figures = draw(record, path)
    print(f"\n{report(record)}\n")
    print(f"{record['seconds']:.0f} s. Written:", path.with_suffix(".json"), *figures, sep="\n  ")


if __name__ == "__main__":
    # By its full name, so that other processes find the same classes.
    from experiments import capacity

    capacity.main()
