"""Grids: independent cells in several single-threaded processes, under one progress bar."""

import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from filelock import FileLock, Timeout
from joblib import Parallel, delayed
from tqdm import tqdm

from experiments.runner.backend import connected
from experiments.runner.device import one_thread
from experiments.runner.files import remove_partial
from experiments.runner.progress import read_progress
from experiments.runner.record import Record, read_checksummed, write_checksummed
from experiments.runner.settings import GridSettings
from experiments.runner.stopping import (
    Stopped,
    join_grid,
    listening,
    stop_if_requested,
    stop_requested,
)


class Cell(Protocol):
    """A part of a grid: a frozen dataclass with all that its result depends on."""

    @property
    def name(self) -> str:
        """Stem of the cell's files; cells with different results have different names."""

    def cost(self) -> float:
        """Estimate the cell's time, in any unit."""


AnyCell = TypeVar("AnyCell", bound=Cell)


def run_grid(
    function: Callable[[AnyCell], Record],
    cells: Sequence[AnyCell],
    settings: GridSettings,
    *,
    title: str,
    folder: Path,
) -> list[Record]:
    """Apply `function` to every cell, the most expensive first, so that all processes end together.

    Every result is written at once. If an interrupted grid is started again, it reads the results
    that exist and computes the others. A cell may keep a checkpoint and its progress as
    `<name>.checkpoint` and `<name>.progress`; both are removed when its result is written.

    Several grids may work in one folder at the same time: each waits for the cells that another
    one is computing.

    Args:
        function: A function at the top of a module, so that other processes can import it. Its
            results are dicts of plain JSON values.
        cells: Arguments of the function.
        settings: Number of processes, each with one thread, or the address of a cluster. If its
            workers share the files, any of them continues an interrupted cell.
        title: Title of the progress bar.
        folder: Folder of the results, `<name>.json` for each cell.

    Returns:
        The results in the order of `cells`.

    Raises:
        Stopped: If a signal requested a stop; running cells have saved their checkpoints.
        DamagedFile: If an existing result is damaged.
    """
    folder = folder.absolute()  # a worker may have another working directory
    order = sorted(range(len(cells)), key=lambda index: -cells[index].cost())
    paths = [folder / f"{cell.name}.json" for cell in cells]
    results = {index: read_checksummed(paths[index]) for index in order if paths[index].exists()}
    for index in results:  # a process killed after it wrote its result leaves its other files
        for suffix in (".checkpoint", ".progress", ".lock"):
            paths[index].with_suffix(suffix).unlink(missing_ok=True)
    missing = [index for index in order if index not in results]
    request = folder / f".stop-{uuid.uuid4().hex}"

    def tasks() -> Iterator[Any]:
        for index in missing:
            if stop_requested():
                return
            yield delayed(_run)(function, cells[index], paths[index], index, os.getpid(), request)

    shares = _whole_shares([cell.cost() for cell in cells])
    with (
        connected(settings.backend, settings.address, settings.jobs),
        _Bar(title, shares, paths, missing) as bar,
        listening(request),
    ):
        try:
            parallel = Parallel(return_as="generator_unordered", batch_size=1)
            for index, result in parallel(tasks()):
                if result is None:
                    continue
                if not paths[index].exists():  # a cluster's worker may have other disks
                    write_checksummed(paths[index], result)
                results[index] = result
                bar.finish(index)
        except Exception:
            if not stop_requested():  # Ctrl-C also kills a worker that is still starting
                raise
        if len(results) < len(cells):
            raise Stopped(len(results), len(cells))
    return [results[index] for index in range(len(cells))]


class _Bar:
    """Progress of all cells together, from finished cells and the progress files of the others."""

    def __init__(
        self, title: str, shares: Sequence[int], paths: Sequence[Path], missing: Sequence[int]
    ) -> None:
        self._shares = shares
        self._progress = {index: paths[index].with_suffix(".progress") for index in missing}
        self._notes: dict[int, str] = {}
        is_terminal = sys.stderr.isatty()  # a log file gets fewer lines
        self._interval = 1.0 if is_terminal else 30.0
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._follow, daemon=True)
        self._bar = tqdm(
            total=sum(shares),
            initial=self._done(),
            desc=title,
            bar_format="{l_bar}{bar}| {elapsed} so far, {remaining} left{postfix}",
            mininterval=0.1 if is_terminal else 30,
        )

    def __enter__(self) -> "_Bar":
        self._watch.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._watch.join()
        self._bar.close()

    def finish(self, index: int) -> None:
        """Count a cell as done."""
        del self._progress[index]
        self._bar.update(self._done() - self._bar.n)

    def _follow(self) -> None:
        while not self._over.wait(self._interval):
            self._bar.n = self._done()
            if self._notes:
                self._bar.set_postfix_str(" | ".join(self._notes.values()), refresh=False)
            self._bar.refresh()

    def _done(self) -> int:
        """Sum the shares that are done, and collect the notes of running cells."""
        left = 0.0
        self._notes = {}
        for index, path in list(self._progress.items()):
            progress = read_progress(path)
            left += self._shares[index] * (1 - progress.done if progress else 1)
            if progress:
                self._notes[index] = progress.note
        return sum(self._shares) - round(left)


def _whole_shares(costs: Sequence[float]) -> list[int]:
    """Scale costs to integers, whose sum does not depend on their order."""
    return [1 + round(1e6 * cost / sum(costs)) for cost in costs]


def _run(
    function: Callable[[AnyCell], Record],
    cell: AnyCell,
    path: Path,
    index: int,
    parent: int,
    request: Path,
) -> tuple[int, Record | None]:
    """Return the index and the result of a cell; None if a stop was requested."""
    join_grid(parent, request)
    try:
        with one_thread(), _locked(path):
            if not path.exists():  # another grid may have finished it meanwhile
                write_checksummed(path, function(cell))
                for suffix in (".checkpoint", ".progress"):
                    path.with_suffix(suffix).unlink(missing_ok=True)
            return index, read_checksummed(path)
    except Stopped:
        return index, None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lock the cell for this process inside this context; a killed process frees its lock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_suffix(".lock"))
    while True:
        stop_if_requested()
        try:
            lock.acquire(timeout=0.2)
            break
        except Timeout:
            continue
    try:
        for suffix in (".json", ".checkpoint", ".progress"):
            remove_partial(path.with_suffix(suffix))
        yield
        # Only now, since a process that waits for this lock looks for the result when it is gone.
        path.with_suffix(".lock").unlink(missing_ok=True)
    finally:
        lock.release()
