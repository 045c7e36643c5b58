"""Checkpoints, from which a killed run continues."""

import io
import pickle
import time
from pathlib import Path
from typing import Any

import torch

from experiments.runner.files import DamagedFile, atomic_write, digest_of

State = dict[str, Any]

_HEAD = b"superposition checkpoint 3\n"


class Checkpoint:
    """A file with the latest state of a run: tensors and plain values, no pickled code.

    A new state replaces the file when it is complete, so the file is always complete.

    Args:
        path: The file.
        description: The run with all its settings; a checkpoint of another run is refused. By
            default any checkpoint is read.
        every_seconds: Shortest time between two writes.
        share: Largest fraction of the time for writing: after a write of t seconds the next one is
            due after t / share.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import torch
        >>> from experiments.runner.checkpoint import Checkpoint
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     checkpoint = Checkpoint(Path(folder) / "run.checkpoint")
        ...     missing = checkpoint.load()
        ...     checkpoint.save({"step": 3, "weight": torch.ones(2)})
        ...     state = checkpoint.load()
        >>> missing, state
        (None, {'step': 3, 'weight': tensor([1., 1.])})
    """

    def __init__(
        self,
        path: Path,
        *,
        description: str | None = None,
        every_seconds: float = 10.0,
        share: float = 0.01,
    ) -> None:
        self.path = path
        self.description = description
        self.every_seconds = every_seconds
        self.share = share
        self._due = time.perf_counter() + every_seconds

    def is_due(self) -> bool:
        """Return True if it is time for the next write."""
        return time.perf_counter() >= self._due

    def save(self, state: State) -> None:
        """Write a state to the disk, then remove the previous one."""
        start = time.perf_counter()
        buffer = io.BytesIO()
        torch.save({"of": self.description, "state": state}, buffer)
        payload = buffer.getvalue()
        atomic_write(self.path, _HEAD + digest_of(payload).encode() + payload)
        now = time.perf_counter()
        self._due = now + max(self.every_seconds, (now - start) / self.share)

    def load(self, device: torch.device | str = "cpu") -> State | None:
        """Return the latest state with its tensors on `device`; None if there is no file.

        The content is decoded only if its checksum is right.

        Raises:
            DamagedFile: If the file is damaged, or is a checkpoint of another run.
        """
        if not self.path.exists():
            return None
        data = self.path.read_bytes()
        digest, payload = data[len(_HEAD) : len(_HEAD) + 32], data[len(_HEAD) + 32 :]
        if not data.startswith(_HEAD) or digest != digest_of(payload).encode():
            raise DamagedFile(
                f"{self.path} is not a complete checkpoint of this version; delete it to start "
                "the run again."
            )
        try:
            content = torch.load(io.BytesIO(payload), map_location=device, weights_only=True)
        except pickle.UnpicklingError:
            raise DamagedFile(
                f"{self.path} holds more than tensors and plain values and is no checkpoint; "
                "delete it to start the run again."
            ) from None
        if self.description not in (None, content["of"]):
            raise DamagedFile(
                f"{self.path} is the checkpoint of a run with other settings, {content['of']}; "
                "delete it or use another folder."
            )
        state: State = content["state"]
        return state
