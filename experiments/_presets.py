"""The presets of every experiment whose runs leave a record each, and the records there are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from experiments import incremental, permuting, rotating
from experiments.runner import read_record
from experiments.runner.record import Record
from experiments.runner.runs import check_record


class _Preset(Protocol):
    def runs(self) -> Any:
        """Its runs: dataclasses with a `name`."""


PRESETS: dict[str, Mapping[str, _Preset]] = {
    incremental.EXPERIMENT: incremental.PRESETS,
    permuting.EXPERIMENT: permuting.PRESETS,
    rotating.EXPERIMENT: rotating.PRESETS,
}
"""By the names of the experiment and of the preset."""


def records_of(experiment: str, preset: str, folder: Path) -> tuple[list[Record], list[str]]:
    """The records of a preset's runs that came to their end.

    Args:
        experiment: For example `permuting`.
        preset: For example `figure-2`.
        folder: Where the experiment's folder of records is; nothing need be there.

    Returns:
        The records in the order of the runs, and the names of the runs that have none.

    Raises:
        DamagedFile: If a file holds the record of another run than its name says.
    """
    found, missing = [], []
    for run in PRESETS[experiment][preset].runs():
        path = folder / experiment / f"{run.name}.json"
        if not path.exists():
            missing.append(run.name)
            continue
        record = read_record(path)
        check_record(record, path, experiment, run)
        if record["status"] == "complete":
            found.append(record)
    return found, missing
