"""Many independent runs in a few processes of one thread, under one progress bar."""

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from joblib import Parallel, delayed
from tqdm import tqdm

from experiments.runner.files import write_whole

Cell = TypeVar("Cell")


def run_grid(
    function: Callable[[Cell], Any],
    cells: Sequence[Cell],
    *,
    jobs: int,
    title: str,
    parts: Path,
    cost: Callable[[Cell], float] = lambda cell: 1.0,
) -> list[Any]:
    """`function` of every cell, the dearest first, so that no process ends long after the others.

    Every result is written as soon as it is there, and is read instead of computed again when a
    grid that was interrupted is started once more.

    Args:
        function: Defined at the top of a module, so that other processes can import it. Its
            results are plain JSON values.
        cells: What to run it on: dataclasses, whose text says all that the result depends on.
        jobs: How many processes. Each computes with one thread: more would fight over the cores.
        title: What the progress bar says.
        parts: The folder for the results of single cells.
        cost: A guess of each cell's time, in any unit, for the bar and the order.

    Returns:
        The results in the order of `cells`.
    """
    order = sorted(range(len(cells)), key=lambda place: -cost(cells[place]))
    paths = [_part(parts, function, cell) for cell in cells]
    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
    missing = [place for place in order if not paths[place].exists()]
    tasks = (delayed(_run)(function, cells[place], paths[place], place) for place in missing)
    shares = _whole_shares([cost(cell) for cell in cells])
    done = sum(shares) - sum(shares[place] for place in missing)
    with tqdm(
        total=sum(shares),
        initial=done,
        desc=title,
        bar_format="{l_bar}{bar}| {elapsed} so far, {remaining} left",
        mininterval=0.1 if sys.stderr.isatty() else 30,  # a log file is not a terminal
    ) as bar:
        for place in parallel(tasks):
            bar.update(shares[place])
    return [json.loads(path.read_text()) for path in paths]


def _whole_shares(costs: Sequence[float]) -> list[int]:
    """Costs as whole numbers, whose sum is the same in any order."""
    return [1 + round(1e6 * cost / sum(costs)) for cost in costs]


def _run(function: Callable[[Cell], Any], cell: Cell, path: Path, place: int) -> int:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        write_whole(path, json.dumps(function(cell), allow_nan=False))
    finally:
        torch.set_num_threads(threads)
    return place


def _part(parts: Path, function: Callable[[Cell], Any], cell: Cell) -> Path:
    name = f"{function.__module__}.{function.__qualname__}({cell!r})"
    digest = hashlib.blake2b(name.encode(), digest_size=12).hexdigest()
    return parts / f"{function.__name__}-{digest}.json"
