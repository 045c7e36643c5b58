"""Stopping from outside: at the end of a step, with the state saved.

The first SIGINT or SIGTERM asks; a second one does what it always does. The processes of a grid
are asked through a file, which reaches them whatever they are doing and wherever they are, and
stop, too, when the process that sent them their work is gone.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)

LOOK_EVERY = 0.2
"""Seconds between two looks for the file: a look costs a few microseconds, a step some hundred."""


@dataclass
class _State:
    """What this process knows."""

    signal: int | None = None  # which one asked it
    request: Path | None = None  # the file that asks the processes of its grid
    parent: int | None = None  # the process that it works for, if that is its parent
    next_look: float = 0.0
    was_requested: bool = False


_state = _State()


class Stopped(Exception):
    """A run was asked to stop, and did.

    Args:
        done: How many runs of the grid are done.
        runs: How many it has.
    """

    def __init__(self, done: int = 0, runs: int = 1) -> None:
        """See the class."""
        super().__init__(done, runs)
        self.signal = _state.signal or signal.SIGTERM

    def __str__(self) -> str:
        """What the user is told."""
        done, runs = self.args
        return (
            f"stopped: {done} of {runs} runs are done, the others have kept what they had; give "
            "the same command again to go on."
        )


def is_asked() -> bool:
    """Whether to stop at the next good moment."""
    if _state.signal is not None or _state.was_requested:
        return True
    if _state.request and time.monotonic() >= _state.next_look:
        _state.next_look = time.monotonic() + LOOK_EVERY
        alone = _state.parent is not None and os.getppid() != _state.parent
        _state.was_requested = alone or _state.request.exists()
    return _state.was_requested


def stop_if_asked() -> None:
    """A good moment.

    Raises:
        Stopped: If the process is asked to stop.
    """
    if is_asked():
        raise Stopped


def work_for(parent: int, request: Path) -> None:
    """Do the work of a grid: be asked to stop by its file, by signals, by its process's end.

    Args:
        parent: The process of the grid, perhaps this one, perhaps on another machine.
        request: The file, see `listening`.
    """
    global _state
    if parent == os.getpid():
        return
    if _state.request != request:
        _state = _State(request=request, parent=parent if os.getppid() == parent else None)
    # Not undone: a process that waits for more work shall not die of a signal either.
    _listen()


@contextmanager
def listening(request: Path) -> Iterator[None]:
    """Within this, the first signal asks this process to stop, and all that work for it.

    Args:
        request: The file that asks them; a name that no other grid has.
    """
    global _state
    before, handlers = _state, {number: signal.getsignal(number) for number in SIGNALS}
    _state = _State(request=request)
    heard = _listen()
    try:
        yield
    finally:
        if heard:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        _state = before
        request.unlink(missing_ok=True)


def _listen() -> bool:
    if threading.current_thread() is not threading.main_thread():
        return False  # a worker of a cluster: its signals are the cluster's affair
    for number in SIGNALS:
        signal.signal(number, _ask)
    return True


def _ask(number: int, frame: FrameType | None) -> None:
    _state.signal = number
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if _state.request and _state.parent is None:
        _state.request.parent.mkdir(parents=True, exist_ok=True)
        _state.request.touch()
