"""The state of a run on disk, so that one that is killed goes on where it was."""

import io
import pickle
import time
from pathlib import Path
from typing import Any

import torch

from experiments.runner.files import DamagedFile, digest_of, write_whole

State = dict[str, Any]

_HEAD = b"superposition checkpoint 3\n"


class Checkpoint:
    """One file that holds the latest state of a run: tensors and plain values, no pickled code.

    It is replaced when a new state is complete, so it is always whole.

    Args:
        path: The file.
        of: The run with all its settings, in words; a file with the state of another is refused.
            Without one, any is read.
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

    def __init__(
        self, path: Path, *, of: str | None = None, every_seconds: float = 10.0, share: float = 0.01
    ) -> None:
        """Write nothing yet."""
        self.path = path
        self.of = of
        self.every_seconds = every_seconds
        self.share = share
        self._due = time.perf_counter() + every_seconds

    def is_due(self) -> bool:
        """Whether it is time for another write."""
        return time.perf_counter() >= self._due

    def save(self, state: State) -> None:
        """Write a state and have it on the disk before the last one goes."""
        start = time.perf_counter()
        buffer = io.BytesIO()
        torch.save({"of": self.of, "state": state}, buffer)
        payload = buffer.getvalue()
        write_whole(self.path, _HEAD + digest_of(payload).encode() + payload)
        now = time.perf_counter()
        self._due = now + max(self.every_seconds, (now - start) / self.share)

    def load(self, device: torch.device | str = "cpu") -> State | None:
        """The latest state, its tensors on `device`; None if there is none.

        Nothing in the file is looked at before it is known to be what was written.

        Raises:
            DamagedFile: If it is not, or if it is the state of something else.
        """
        if not self.path.exists():
            return None
        data = self.path.read_bytes()
        digest, payload = data[len(_HEAD) : len(_HEAD) + 32], data[len(_HEAD) + 32 :]
        if not data.startswith(_HEAD) or digest != digest_of(payload).encode():
            raise DamagedFile(
                f"{self.path} is not a whole checkpoint of this version; delete it to run from "
                "the beginning."
            )
        try:
            kept = torch.load(io.BytesIO(payload), map_location=device, weights_only=True)
        except pickle.UnpicklingError:
            raise DamagedFile(
                f"{self.path} holds more than tensors and plain values; it is no checkpoint of a "
                "run."
            ) from None
        if self.of not in (None, kept["of"]):
            raise DamagedFile(
                f"{self.path} holds the state of a run with other settings, {kept['of']}; delete "
                "it or take another folder."
            )
        state: State = kept["state"]
        return state
