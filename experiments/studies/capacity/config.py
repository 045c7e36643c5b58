"""The config of a capacity study, and its presets."""

import hashlib
from dataclasses import asdict, dataclass, fields
from itertools import cycle

from experiments.methods.method import FAMILIES, METHODS
from experiments.runner.run import sweep
from experiments.runner.settings import GridSettings
from experiments.studies.permuting.run import Dataset, PermutingRun


@dataclass(frozen=True, kw_only=True)
class CapacityConfig(GridSettings):
    """Everything that a study of capacity depends on."""

    dataset: Dataset = "digits"
    """Images that the networks learn."""

    families: tuple[str, ...] = tuple(FAMILIES)
    """Families of contexts; Identity is the standard network."""

    untrained: tuple[str, ...] = ("BlockRotation", "LocalMix", "OnePower")
    """Families with which no networks are trained, which takes most of the time."""

    widths: tuple[int, ...] = (64, 128, 256)
    """Units in each of the two hidden layers."""

    tasks: int = 50
    """Number of networks to train one after the other: the largest K that can be found."""

    observed: int = 5
    """Number of networks from which the others are predicted."""

    steps: int = 64
    """Training steps per task."""

    batch: int = 64
    """Samples in a training batch."""

    learning_rate: float = 1e-3
    """RMSprop learning rate."""

    test_images: int = 1000
    """Largest number of test images for each task, after every task."""

    seeds: tuple[int, ...] = (2,)
    """Number of seeds, 0, 1, …: one number, or one for every width."""

    tolerance: tuple[float, ...] = (1.0, 5.0)
    """Points of mean accuracy that the other models may cost."""

    dims: tuple[int, ...] = (32, 64, 128, 256)
    """Lengths of the vectors in the study of retrieval."""

    models: int = 128
    """Number of aligned models in the study of retrieval."""

    draws: int = 4
    """Number of seeds of the contexts of aligned models."""

    trained_models: int = 16
    """Number of networks trained apart, for retrieval from real layers."""

    target_snr: float = 4.0
    """Least signal-to-noise ratio of a retrieved model."""

    jobs: int = 2
    """Number of processes; each computes with one thread."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        self.check_choices("families", tuple(FAMILIES))
        self.check_choices("untrained", tuple(FAMILIES))
        for field in ("families", "widths", "tolerance", "dims"):
            values = getattr(self, field)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{field} must be different values, at least one, not {values}.")
        self.check_counts("widths", "dims", "tasks", "steps", "batch", "test_images", "draws")
        self.check_counts("seeds")
        self.check_counts("models", "trained_models", least=2)
        self.check_counts("observed", least=3)
        if self.observed > self.tasks:
            raise ValueError(f"observed={self.observed} is more than tasks={self.tasks}.")
        self.check_positive("learning_rate", "target_snr")
        if not all(0 < points < 100 for points in self.tolerance):
            raise ValueError(f"tolerance must be points between 0 and 100, not {self.tolerance}.")
        if len(self.seeds) not in (1, len(self.widths)):
            raise ValueError(
                f"seeds must be one number or one for each of the {len(self.widths)} widths, not "
                f"{self.seeds}."
            )
        for name in self.families:
            for dim in {*self.dims, *self.widths}:
                FAMILIES[name](dim, 1, seed=0)  # some families have no maps of some lengths

    @property
    def trained(self) -> tuple[str, ...]:
        """Families with which networks are trained."""
        return tuple(name for name in self.families if name not in self.untrained)

    @property
    def predicted(self) -> tuple[str, ...]:
        """Families for which the number that fits is predicted; not the standard network."""
        return tuple(name for name in self.trained if name != "Identity")

    @property
    def name(self) -> str:
        """Stem of the files; another name for every other study."""
        for name, preset in {"digits": CapacityConfig(), **PRESETS}.items():
            if self._study() == preset._study():
                return f"capacity-{name}"
        digest = hashlib.blake2b(repr(self._study()).encode(), digest_size=4).hexdigest()
        return f"capacity-{self.dataset}-{digest}"

    def _study(self) -> dict[str, object]:
        """Return the fields on which the results depend."""
        settings = {field.name for field in fields(GridSettings)}
        return {name: value for name, value in asdict(self).items() if name not in settings}

    def seeds_of(self, width: int) -> range:
        """Return the seeds for a width."""
        return range(dict(zip(self.widths, cycle(self.seeds), strict=False))[width])

    def runs(self, family: str, width: int, tasks: int) -> tuple[PermutingRun, ...]:
        """Return the runs on permuted images with a family, one for each seed."""
        return sweep(
            PermutingRun,
            dataset=self.dataset,
            method=METHODS["standard" if family == "Identity" else family],
            width=width,
            seed=tuple(self.seeds_of(width)),
            tasks=tasks,
            steps=self.steps,
            batch=self.batch,
            learning_rate=self.learning_rate,
            curve_every=self.steps,
            row_images=self.test_images * tasks,
        )


SMOKE = CapacityConfig(
    widths=(8, 16),
    tasks=4,
    observed=3,
    steps=5,
    seeds=(1,),
    dims=(16, 32),
    models=8,
    trained_models=4,
    jobs=1,
)
"""Every family and every part in seconds, without meaningful results."""

MNIST = CapacityConfig(
    dataset="mnist",
    untrained=("BlockRotation", "Complex", "LocalMix", "OnePower", "Permutation"),
    widths=(128, 256, 512, 1024),
    steps=100,
    batch=128,
    test_images=500,
    learning_rate=3e-4,
    seeds=(3, 3, 3, 1),
)
"""The study with the paper's images."""

TEN_SEEDS = CapacityConfig(seeds=(10,))
"""The default study with less scatter, in a quarter of an hour."""

PRESETS = {"smoke": SMOKE, "mnist": MNIST, "ten-seeds": TEN_SEEDS}
