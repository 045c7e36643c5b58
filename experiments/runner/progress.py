"""How far a run is, for whoever started it or looks at the folder."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from experiments.runner.files import write_whole


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Args:
        done: Which part of it, 0..1.
        note: In words, for example its accuracy so far.
    """

    done: float
    note: str

    def write(self, path: Path) -> None:
        """Leave it in a file."""
        text = json.dumps(asdict(self), ensure_ascii=False) + "\n"
        write_whole(path, text, durable=False)


def read_progress(path: Path) -> Progress | None:
    """What a run has left in its file; None if nothing."""
    try:
        found = json.loads(path.read_text())
        return Progress(float(found["done"]), str(found["note"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
