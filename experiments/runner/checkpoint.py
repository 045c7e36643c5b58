"""The state of a run on disk, so that one that is killed goes on where it was."""

import os
import pickle
import time
from pathlib import Path
from typing import Any

import torch

from experiments.runner.files import written_whole

State = dict[str, Any]


class Checkpoint:
    """One file that holds the latest state of a run: tensors and plain values, no pickled code.

    It is replaced when a new state is complete, so it is always whole.

    Args:
        path: The file.
        every_seconds: How long to wait between two writes, at the least.
        share: The part of the time that writing may take: after a write of t seconds the next
            is not due for t / share.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import torch
        >>> from experiments.runner import Checkpoint
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     checkpoint = Checkpoint(Path(folder) / "run.checkpoint")
        ...     nothing = checkpoint.load()
        ...     checkpoint.save({"step": 3, "weight": torch.ones(2)})
        ...     state = checkpoint.load()
        >>> nothing, state
        (None, {'step': 3, 'weight': tensor([1., 1.])})
    """

    def __init__(self, path: Path, *, every_seconds: float = 10.0, share: float = 0.01) -> None:
        """Write nothing yet."""
        self.path = path
        self.every_seconds = every_seconds
        self.share = share
        self._due = time.perf_counter() + every_seconds

    def is_due(self) -> bool:
        """Whether it is time for another write."""
        return time.perf_counter() >= self._due

    def save(self, state: State) -> None:
        """Write a state and have it on the disk before the last one goes."""
        start = time.perf_counter()
        with written_whole(self.path) as partial, partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        now = time.perf_counter()
        self._due = now + max(self.every_seconds, (now - start) / self.share)

    def load(self, device: torch.device | str = "cpu") -> State | None:
        """The latest state, its tensors on `device`; None if there is none.

        Raises:
            ValueError: If the file holds no state, for example because the disk is damaged.
        """
        if not self.path.exists():
            return None
        try:
            state = torch.load(self.path, map_location=device, weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(
                f"{self.path} is not a whole checkpoint ({reason}); delete it to run from the "
                "beginning."
            ) from None
        assert isinstance(state, dict)
        return state
