"""What experiments can be told, whatever they run."""

from dataclasses import dataclass
from pathlib import Path

from experiments.runner.backend import Backend, check_backend
from experiments.runner.checks import Checked
from experiments.runner.device import Device, resolve_device


@dataclass(frozen=True, kw_only=True)
class Settings(Checked):
    """Where an experiment computes and writes; no result depends on it but by rounding."""

    device: Device = "auto"
    """Where images, nets and tests live; auto takes CUDA where there is one."""

    out: Path = Path("runs")
    """The folder for what comes of it."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        super().__post_init__()
        if self.out.exists() and not self.out.is_dir():
            raise ValueError(f"out must be a folder, but {self.out} is a file.")
        resolve_device(self.device)


@dataclass(frozen=True, kw_only=True)
class GridSettings(Settings):
    """Those of many cells, which may run side by side."""

    jobs: int = 1
    """Runs at once, in processes of one thread each."""

    backend: Backend = "loky"
    """Processes of this machine, or those of a Dask or Ray cluster."""

    address: str = ""
    """Of the cluster, for example tcp://127.0.0.1:8786."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        super().__post_init__()
        self.check_counts("jobs")
        check_backend(self.backend, self.address)


@dataclass(frozen=True, kw_only=True)
class RunSettings(GridSettings):
    """Those of long runs with a record each, in a folder of `out` named after the experiment."""

    checkpoint_seconds: float = 10.0
    """Between two checkpoints of a run, at the least; they never take more than 1 % of the time."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        super().__post_init__()
        if not self.checkpoint_seconds >= 0:
            raise ValueError(f"checkpoint_seconds must not be {self.checkpoint_seconds}.")
