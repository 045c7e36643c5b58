"""The progress of a run, in a file."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from experiments.runner.files import atomic_write


@dataclass(frozen=True)
class Progress:
    """Progress of a run.

    Args:
        done: Fraction of the run that is done, 0..1.
        note: Its current result in a few words.
    """

    done: float
    note: str

    def write(self, path: Path) -> None:
        """Write the progress to a file."""
        text = json.dumps(asdict(self), ensure_ascii=False) + "\n"
        atomic_write(path, text, durable=False)


def read_progress(path: Path) -> Progress | None:
    """Read the progress of a run; None if its file is missing or unreadable."""
    try:
        content = json.loads(path.read_text())
        return Progress(float(content["done"]), str(content["note"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
