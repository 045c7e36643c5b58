"""How many models fit into one set of weights?

Measures, on the handwritten digits that ship with scikit-learn unless told otherwise,

1. *retrieval*: the signal-to-noise ratio of a model read back from among K stored ones, family by
   family, for aligned models and for the layers of trained networks, beside the closed form;
2. *networks*: how many two-hidden-layer networks, trained one after the other with a context
   each, stay within a tolerance of the accuracy they had when just learned.

    python experiments/capacity.py                    # about two minutes on two cores
    python experiments/capacity.py smoke              # its smallest form, seconds
    python experiments/capacity.py mnist --jobs 2     # the study on MNIST, hours

It prints the tables and leaves one record (JSON) and the figures (PNG and SVG).
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, get_args

import tyro

from experiments.runner import (
    FAMILIES,
    parse,
    resolve_device,
    run_grid,
    start_record,
    write_record,
)
from experiments.runner.device import Device
from experiments.runner.record import Record

Dataset = Literal["digits", "mnist", "fashion_mnist", "cifar10"]


@dataclass(frozen=True)
class Config:
    """What to measure. Every bad value is refused before any work starts."""

    dataset: Dataset = "digits"
    """The images that the networks learn."""

    families: tuple[str, ...] = (
        "Identity",
        "Binary",
        "Complex",
        "OnePower",
        "Rotation",
        "KroneckerRotation",
        "Permutation",
        "SignedPermutation",
    )
    """Families of contexts; Identity is the standard network."""

    widths: tuple[int, ...] = (32, 64, 128, 256)
    """Units in each of the two hidden layers."""

    tasks: int = 50
    """How many networks to train one after the other: the largest K that can be found."""

    steps: int = 100
    """Training steps per task."""

    batch: int = 64
    """Samples in a training batch."""

    learning_rate: float = 1e-3
    """Of RMSprop."""

    test_images: int = 1000
    """How many test images at the most each task is tested on after every task."""

    seeds: int = 2
    """How many seeds, 0, 1, …, to run everything from."""

    tolerance: tuple[float, ...] = (1.0, 5.0)
    """Points of mean accuracy that may be lost to the other models."""

    dims: tuple[int, ...] = (32, 64, 128, 256)
    """Lengths of the vectors in the study of retrieval."""

    models: int = 256
    """How many aligned models to store in the study of retrieval."""

    trained_models: int = 16
    """How many networks to train apart, for retrieval from real layers."""

    target_snr: float = 4.0
    """The signal-to-noise ratio that a retrieved model shall keep."""

    device: Device = "auto"
    """Where to compute; auto takes CUDA where there is one."""

    jobs: int = 2
    """Processes, of one thread each."""

    out: Path = Path("runs")
    """The folder for the record and the figures."""

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        for name in self.families:
            if name not in FAMILIES:
                raise ValueError(f"families: {name!r} is none; choose from {', '.join(FAMILIES)}.")
        for field in ("families", "widths", "tolerance", "dims"):
            values = getattr(self, field)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{field} must be different values, at least one, not {values}.")
        for field in ("widths", "dims", "tolerance"):
            if min(getattr(self, field)) <= 0:
                raise ValueError(f"{field} must be positive, not {getattr(self, field)}.")
        for field in ("tasks", "steps", "batch", "test_images", "seeds", "jobs"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} must be at least 1, not {getattr(self, field)}.")
        for field in ("models", "trained_models"):
            if getattr(self, field) < 2:
                raise ValueError(f"{field} must be at least 2, not {getattr(self, field)}.")
        for field in ("learning_rate", "target_snr"):
            if not 0 < getattr(self, field) < float("inf"):
                raise ValueError(f"{field} must be positive, not {getattr(self, field)}.")
        resolve_device(self.device)
        for name in self.families:
            for dim in {*self.widths, *self.dims}:
                FAMILIES[name](dim, 1, seed=0)  # some have no map for some lengths
