"""What all experiments of many runs can be told, whatever they run."""

from dataclasses import dataclass
from pathlib import Path

from experiments.runner.backend import Backend, check_backend
from experiments.runner.device import Device, resolve_device


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How and where runs are made; no result depends on it but by rounding.

    Args:
        device: Where images, nets and tests live.
        jobs: Runs at once.
        backend: See `run_grid`.
        address: See `run_grid`.
        out: Where the records go.

    Raises:
        ValueError: For every value that cannot be, before any work.
    """

    device: Device = "auto"
    """Where images, nets and tests live; auto takes CUDA where there is one."""

    jobs: int = 1
    """Runs at once, in processes of one thread each."""

    backend: Backend = "loky"
    """Processes of this machine, or those of a Dask or Ray cluster."""

    address: str = ""
    """Of the cluster, for example tcp://127.0.0.1:8786."""

    out: Path = Path("runs")
    """The folder for what comes of it."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        self.check_counts("jobs")
        if self.out.exists() and not self.out.is_dir():
            raise ValueError(f"out must be a folder, but {self.out} is a file.")
        resolve_device(self.device)
        check_backend(self.backend, self.address)

    def check_counts(self, *names: str) -> None:
        """Refuse fields, or members of fields, that are less than 1."""
        for name in names:
            value = getattr(self, name)
            if min(value if isinstance(value, tuple) else (value,), default=1) < 1:
                raise ValueError(f"{name} must be at least 1, not {value}.")

    def check_positive(self, *names: str) -> None:
        """Refuse fields, or members of fields, that are not positive and finite."""
        for name in names:
            value = getattr(self, name)
            members = value if isinstance(value, tuple) else (value,)
            if not all(0 < member < float("inf") for member in members):
                raise ValueError(f"{name} must be positive, not {value}.")

    def check_choices(self, choices: dict[str, tuple[str, ...]]) -> None:
        """Refuse members of fields that are not among the choices for that field."""
        for name, known in choices.items():
            for value in getattr(self, name):
                if value not in known:
                    raise ValueError(f"{name}: {value!r} is none; choose from {', '.join(known)}.")

    def check_different(self, *names: str) -> None:
        """Refuse fields that hold a value twice."""
        for name in names:
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name} must be different values, not {values}.")


@dataclass(frozen=True, kw_only=True)
class RunSettings(Settings):
    """Those of long runs with a record each, in a folder of `out` named after the experiment.

    Args:
        checkpoint_seconds: See `Checkpoint.every_seconds`.
    """

    checkpoint_seconds: float = 10.0
    """Between two checkpoints of a run, at the least; they never take more than 1 % of the time."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        super().__post_init__()
        if not self.checkpoint_seconds >= 0:
            raise ValueError(f"checkpoint_seconds must not be {self.checkpoint_seconds}.")
