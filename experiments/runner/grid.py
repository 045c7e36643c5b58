"""Many independent runs in a few processes of one thread, under one progress bar."""

import hashlib
import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from filelock import FileLock, Timeout
from joblib import Parallel, delayed
from tqdm import tqdm

from experiments.runner.backend import Backend, connected
from experiments.runner.files import remove_partial
from experiments.runner.progress import read_progress
from experiments.runner.record import Record, read_sealed, write_sealed
from experiments.runner.stopping import (
    Stopped,
    is_asked,
    listening,
    stop_if_asked,
    work_for,
)

Cell = TypeVar("Cell")


def run_grid(
    function: Callable[[Cell], Record],
    cells: Sequence[Cell],
    *,
    jobs: int,
    title: str,
    parts: Path,
    cost: Callable[[Cell], float] = lambda cell: 1.0,
    name: Callable[[Cell], str] | None = None,
    backend: Backend = "loky",
    address: str = "",
) -> list[Record]:
    """`function` of every cell, the dearest first, so that no process ends long after the others.

    Every result is written as soon as it is there, and is read instead of computed again when a
    grid that was interrupted is started once more. A cell may keep a checkpoint and its progress
    beside its result, as `<name>.checkpoint` and `<name>.progress`; they go when the result is
    there, and the bar follows the latter.

    Several grids may work in one folder at the same time: a cell that one of them runs is
    waited for by the others.

    Args:
        function: Defined at the top of a module, so that other processes can import it. Its
            results are dicts of plain JSON values.
        cells: What to run it on: dataclasses, whose text says all that the result depends on.
        jobs: How many processes. Each computes with one thread: more would fight over the cores.
        title: What the progress bar says.
        parts: The folder for the results of single cells.
        cost: A guess of each cell's time, in any unit, for the bar and the order.
        name: What a cell's files are called, different for cells that give different results; by
            default a digest.
        backend: Processes of this machine, or a cluster, whose workers import the same code. If
            they see the same files, a run that is interrupted goes on on any of them.
        address: Of the cluster.

    Returns:
        The results in the order of `cells`.

    Raises:
        Stopped: If a signal asked to stop; cells that were running have saved their state, if
            they keep one.
        DamagedFile: If a result that is there already is not as it was written.
    """
    parts = parts.absolute()  # a worker may run elsewhere
    order = sorted(range(len(cells)), key=lambda place: -cost(cells[place]))
    paths = [_part(parts, function, cell, name) for cell in cells]
    done = {place: read_sealed(paths[place]) for place in order if paths[place].exists()}
    missing = [place for place in order if place not in done]
    request = parts / f".stop-{uuid.uuid4().hex}"

    def tasks() -> Iterator[Any]:
        for place in missing:
            if is_asked():
                return
            yield delayed(_run)(function, cells[place], paths[place], place, os.getpid(), request)

    shares = _whole_shares([cost(cell) for cell in cells])
    with (
        connected(backend, address, jobs),
        _Bar(title, shares, paths, missing) as bar,
        listening(request),
    ):
        try:
            parallel = Parallel(return_as="generator_unordered", batch_size=1)
            for place, result in parallel(tasks()):
                if result is None:
                    continue
                if not paths[place].exists():  # a worker of a cluster may have other disks
                    write_sealed(paths[place], result)
                done[place] = result
                bar.finish(place)
        except Exception:
            if not is_asked():  # a signal from the terminal breaks a process that is starting
                raise
        if len(done) < len(cells):
            raise Stopped(len(done), len(cells))
    return [done[place] for place in range(len(cells))]


class _Bar:
    """The progress of all runs together: those that are done, and how far the others say to be."""

    def __init__(
        self, title: str, shares: Sequence[int], paths: Sequence[Path], missing: Sequence[int]
    ) -> None:
        self._shares = shares
        self._progress = {place: paths[place].with_suffix(".progress") for place in missing}
        self._notes: dict[int, str] = {}
        terminal = sys.stderr.isatty()  # a log file is not one
        self._interval = 1.0 if terminal else 30.0
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._follow, daemon=True)
        self._bar = tqdm(
            total=sum(shares),
            initial=self._done(),
            desc=title,
            bar_format="{l_bar}{bar}| {elapsed} so far, {remaining} left{postfix}",
            mininterval=0.1 if terminal else 30,
        )

    def __enter__(self) -> "_Bar":
        self._watch.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._watch.join()
        self._bar.close()

    def finish(self, place: int) -> None:
        """The result of a run is there."""
        del self._progress[place]
        self._bar.update(self._done() - self._bar.n)

    def _follow(self) -> None:
        while not self._over.wait(self._interval):
            self._bar.n = self._done()
            if self._notes:
                self._bar.set_postfix_str(" | ".join(self._notes.values()), refresh=False)
            self._bar.refresh()

    def _done(self) -> int:
        """The shares done."""
        left = 0.0
        self._notes = {}
        for place, path in list(self._progress.items()):
            found = read_progress(path)
            left += self._shares[place] * (1 - found.done if found else 1)
            if found:
                self._notes[place] = found.note
        return sum(self._shares) - round(left)


def _whole_shares(costs: Sequence[float]) -> list[int]:
    """Costs as whole numbers, whose sum is the same in any order."""
    return [1 + round(1e6 * cost / sum(costs)) for cost in costs]


def _run(
    function: Callable[[Cell], Record],
    cell: Cell,
    path: Path,
    place: int,
    parent: int,
    request: Path,
) -> tuple[int, Record | None]:
    """The result of a cell, None if it was asked to stop."""
    work_for(parent, request)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _held(path):
            if path.exists():  # of another grid, that ran while this one waited
                return place, read_sealed(path)
            write_sealed(path, function(cell))
            for ending in (".checkpoint", ".progress"):
                path.with_suffix(ending).unlink(missing_ok=True)
            return place, read_sealed(path)
    except Stopped:
        return place, None
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Within this, no other process has the cell; the system frees it if this one is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_suffix(".lock"))
    while True:
        stop_if_asked()
        try:
            lock.acquire(timeout=0.2)
            break
        except Timeout:
            continue
    try:
        for ending in (".json", ".checkpoint", ".progress"):
            remove_partial(path.with_suffix(ending))
        yield
        # Only now: who waits for a lock that is gone must find the result.
        path.with_suffix(".lock").unlink(missing_ok=True)
    finally:
        lock.release()


def _part(
    parts: Path,
    function: Callable[[Cell], Record],
    cell: Cell,
    name: Callable[[Cell], str] | None,
) -> Path:
    if name is not None:
        return parts / f"{name(cell)}.json"
    text = f"{function.__module__}.{function.__qualname__}({cell!r})"
    digest = hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
    return parts / f"{function.__name__}-{digest}.json"
