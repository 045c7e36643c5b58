"""Many independent runs in a few processes of one thread, under one progress bar."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from joblib import Parallel, delayed
from tqdm import tqdm

Cell = TypeVar("Cell")
Result = TypeVar("Result")


def run_grid(
    function: Callable[[Cell], Result],
    cells: Sequence[Cell],
    *,
    jobs: int,
    title: str,
    cost: Callable[[Cell], float] = lambda cell: 1.0,
) -> list[Result]:
    """`function` of every cell, the dearest first, so that no process ends long after the others.

    Args:
        function: Defined at the top of a module, so that other processes can import it.
        cells: What to run it on.
        jobs: How many processes. Each computes with one thread: more would fight over the cores.
        title: What the progress bar says.
        cost: A guess of each cell's time, in any unit, for the bar and the order.

    Returns:
        The results in the order of `cells`.
    """
    order = sorted(range(len(cells)), key=lambda position: -cost(cells[position]))
    results: dict[int, Result] = {}
    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
    tasks = (delayed(_with_one_thread)(function, cells[place], place) for place in order)
    total = sum(map(cost, cells))
    layout = "{l_bar}{bar}| {elapsed} so far, {remaining} left"
    with tqdm(total=total, desc=title, bar_format=layout) as bar:
        for place, result in parallel(tasks):
            results[place] = result
            bar.update(cost(cells[place]))
    return [results[place] for place in range(len(cells))]


def _with_one_thread(
    function: Callable[[Cell], Result], cell: Cell, place: int
) -> tuple[int, Result]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return place, function(cell)
    finally:
        torch.set_num_threads(threads)
