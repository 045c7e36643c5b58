"""The config of the benchmark, its presets, and its measurement."""

from collections import defaultdict
from dataclasses import dataclass
from statistics import median

from experiments.runner.device import one_thread, resolve_device
from experiments.runner.images import load_images
from experiments.runner.record import Record, start_record
from experiments.runner.settings import Settings
from experiments.studies.permuting.run import Dataset
from experiments.studies.speed.bench import Bench
from experiments.studies.speed.summary import ratios


@dataclass(frozen=True, kw_only=True)
class SpeedConfig(Settings):
    """Everything that the benchmark depends on."""

    dataset: Dataset = "mnist"
    """Images for training and testing."""

    widths: tuple[int, ...] = (128, 256, 2048)
    """Units in each of the two hidden layers."""

    batch: int = 128
    """Samples in a training batch."""

    arithmetic: float = 1e10
    """Multiplications in a round, which determine its number of steps."""

    builds: int = 5
    """Number of times that the networks are built."""

    rounds: int = 5
    """Number of rounds after each build."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if not self.widths:
            raise ValueError("widths is empty; give at least one.")
        self.check_counts("widths", "batch", "builds", "rounds")
        self.check_positive("arithmetic")

    @property
    def name(self) -> str:
        """Stem of the record."""
        return f"speed-{self.dataset}"


PRESETS = {
    "smoke": SpeedConfig(
        dataset="digits", widths=(32,), batch=32, arithmetic=1e6, builds=2, rounds=2
    )
}


def measure(config: SpeedConfig) -> Record:
    """Time everything at every width, in one thread.

    Args:
        config: The benchmark.

    Returns:
        The record, to be written: `speeds`, a list with `width`, `milliseconds` and `ratios`.
    """
    record = start_record("speed", config)
    record["speeds"] = []
    images, progress = load_images(config.dataset), config.out / "speed.progress"
    with one_thread():
        for width in config.widths:
            times: defaultdict[str, list[float]] = defaultdict(list)
            for _ in range(config.builds):
                bench = Bench(
                    images,
                    width=width,
                    batch=config.batch,
                    device=resolve_device(config.device),
                    progress=progress,
                )
                steps = bench.steps_of(config.arithmetic)
                for name, taken in bench.milliseconds(steps=steps, rounds=config.rounds).items():
                    times[name] += taken
            medians = {name: median(taken) for name, taken in times.items()}
            rounded = {name: round(value, 4) for name, value in medians.items()}
            record["speeds"].append(
                {"width": width, "milliseconds": rounded, "ratios": ratios(medians)}
            )
    progress.unlink(missing_ok=True)
    return record
