"""Settings of every study: device, processes and folder."""

from dataclasses import dataclass
from pathlib import Path

from experiments.runner.backend import Backend, check_backend
from experiments.runner.checks import Checked
from experiments.runner.device import Device, resolve_device


@dataclass(frozen=True, kw_only=True)
class Settings(Checked):
    """Settings on which no result depends, except by rounding."""

    device: Device = "auto"
    """Device of images, networks and tests; auto takes CUDA if present."""

    out: Path = Path("runs")
    """Folder for the results."""

    def __post_init__(self) -> None:
        """Check the folder and the device."""
        super().__post_init__()
        if self.out.exists() and not self.out.is_dir():
            raise ValueError(f"out must be a folder, but {self.out} is a file.")
        resolve_device(self.device)


@dataclass(frozen=True, kw_only=True)
class GridSettings(Settings):
    """Settings of a grid, whose cells may run in parallel."""

    jobs: int = 1
    """Number of processes; each computes with one thread."""

    backend: Backend = "loky"
    """Processes of this machine, or the workers of a Dask cluster."""

    address: str = ""
    """Address of the cluster, for example tcp://127.0.0.1:8786."""

    def __post_init__(self) -> None:
        """Check the number of jobs and the backend."""
        super().__post_init__()
        self.check_counts("jobs")
        check_backend(self.backend, self.address)


@dataclass(frozen=True, kw_only=True)
class RunSettings(GridSettings):
    """Settings of an experiment, whose runs keep checkpoints."""

    checkpoint_seconds: float = 10.0
    """Shortest time between two checkpoints of a run; they take at most 1 % of its time."""

    def __post_init__(self) -> None:
        """Check the time between checkpoints."""
        super().__post_init__()
        if not self.checkpoint_seconds >= 0:
            raise ValueError(
                f"checkpoint_seconds must not be negative, but is {self.checkpoint_seconds}."
            )
