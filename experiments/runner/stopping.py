"""Stopping a run from outside: at the end of a step, with its state saved.

The first SIGINT or SIGTERM requests the stop; a second one has its default effect. A grid passes
the request to its worker processes through a file, which they find wherever they run. Workers also
stop when their parent process is gone.
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

POLL_SECONDS = 0.2
"""Time between two checks for the file: a check costs some microseconds, a step some hundred."""


@dataclass
class _State:
    """Requests to stop, as far as this process knows them."""

    signal: int | None = None
    """The signal that requested the stop."""
    request: Path | None = None
    """The file that requests the stop of a grid's workers."""
    parent: int | None = None
    """The process that sent the work, if it is the parent."""
    next_poll: float = 0.0
    """Time of the next check for the file."""
    was_requested: bool = False
    """True if the file exists, or the parent is gone."""


_state = _State()


class Stopped(Exception):
    """Error that ends a run on request, with its state saved.

    Args:
        done: Number of finished runs of the grid.
        runs: Number of all its runs.
    """

    def __init__(self, done: int = 0, runs: int = 1) -> None:
        super().__init__(done, runs)
        self.signal = _state.signal or signal.SIGTERM

    def __str__(self) -> str:
        """Return the message for the user."""
        done, runs = self.args
        return (
            f"stopped: {done} of {runs} runs are done, the others have saved their state; give "
            "the same command again to continue."
        )


def stop_requested() -> bool:
    """Return True if this process should stop at the next opportunity."""
    if _state.signal is not None or _state.was_requested:
        return True
    if _state.request and time.monotonic() >= _state.next_poll:
        _state.next_poll = time.monotonic() + POLL_SECONDS
        orphaned = _state.parent is not None and os.getppid() != _state.parent
        _state.was_requested = orphaned or _state.request.exists()
    return _state.was_requested


def stop_if_requested() -> None:
    """Raise `Stopped` if this process should stop."""
    if stop_requested():
        raise Stopped


def join_grid(parent: int, request: Path) -> None:
    """Make this worker stop on the grid's file, on signals, and when the grid's process ends.

    Args:
        parent: The process of the grid, which may be this one or run on another machine.
        request: The file, see `listening`.
    """
    global _state
    if parent == os.getpid():
        return
    if _state.request != request:
        _state = _State(request=request, parent=parent if os.getppid() == parent else None)
    # The handlers stay: a worker that waits for more work must survive a signal, too.
    _listen()


@contextmanager
def listening(request: Path) -> Iterator[None]:
    """Let the first signal stop this process and its grid's workers inside this context.

    Args:
        request: The file that stops the workers; no other grid may use its name.
    """
    global _state
    previous, handlers = _state, {number: signal.getsignal(number) for number in SIGNALS}
    _state = _State(request=request)
    installed = _listen()
    try:
        yield
    finally:
        if installed:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        _state = previous
        request.unlink(missing_ok=True)


def _listen() -> bool:
    """Install the signal handlers; False in a thread, such as a cluster worker's."""
    if threading.current_thread() is not threading.main_thread():
        return False  # Python allows signal handlers in the main thread alone
    for number in SIGNALS:
        signal.signal(number, _request_stop)
    return True


def _request_stop(number: int, frame: FrameType | None) -> None:
    _state.signal = number
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if _state.request and _state.parent is None:
        _state.request.parent.mkdir(parents=True, exist_ok=True)
        _state.request.touch()
