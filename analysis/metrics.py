"""Continual learning in one number: from the accuracy matrix to averages and forgetting.

R[i, j] is the accuracy on task j after task i was learned. Entries with j > i, tasks not learned
yet, play no part: they may be anything, NaN included, and rows may simply end at the diagonal.
"""

import math
from collections.abc import Iterable
from typing import SupportsFloat

import torch
from torch import Tensor

from analysis._arguments import checked_integer, checked_number

AccuracyMatrix = Iterable[Iterable[SupportsFloat]]
"""R as rows of numbers: lists, an array, a tensor, or a list of either."""


def average_accuracy(accuracy: AccuracyMatrix) -> float:
    """Mean accuracy over all tasks after the last one.

    Args:
        accuracy: R, shape (tasks, tasks), fractions in 0..1.

    Returns:
        mean_j R[T−1, j], a fraction.

    Raises:
        TypeError: If an entry with j ≤ i is no number.
        ValueError: If R is not square, lacks an entry with j ≤ i, or has one outside 0..1.

    Source:
        Lopez-Paz and Ranzato 2017, section 2 (ACC).

    Example:
        >>> from analysis.metrics import average_accuracy
        >>> average_accuracy([[0.75], [0.5, 1.0]])
        0.75
    """
    return float(_validated(accuracy)[-1].mean())


def last_average_accuracy(accuracy: AccuracyMatrix, count: int) -> float:
    """Mean accuracy over the `count` most recent tasks after the last one.

    Args:
        accuracy: R, see `average_accuracy`.
        count: How many tasks, 1..tasks; the paper's table has 10 of 50.

    Returns:
        The mean of the last `count` entries of R's last row, a fraction.

    Raises:
        TypeError: As `average_accuracy`, and if `count` is no int.
        ValueError: As `average_accuracy`, and if `count` is not in 1..tasks.

    Source:
        Cheung et al. 2019, figure 3, right.

    Example:
        >>> from analysis.metrics import last_average_accuracy
        >>> last_average_accuracy([[1.0], [0.5, 1.0], [0.0, 0.5, 0.75]], count=2)
        0.625
    """
    count, last = checked_integer("count", count), _validated(accuracy)[-1]
    if not 1 <= count <= len(last):
        raise ValueError(
            f"last_average_accuracy was asked for the last {count} of {len(last)} tasks; "
            f"pass a count in 1..{len(last)}."
        )
    return float(last[-count:].mean())


def forgetting(accuracy: AccuracyMatrix) -> float:
    """By how much accuracy has fallen from its best, averaged over all tasks but the last.

    Args:
        accuracy: R, see `average_accuracy`, of at least two tasks.

    Returns:
        mean_{j<T−1} (max_{j≤i<T−1} R[i, j] − R[T−1, j]), a fraction; negative if tasks improved.

    Raises:
        TypeError, ValueError: As `average_accuracy`, and if there are fewer than two tasks.

    Source:
        Chaudhry et al. 2018, equation 3.

    Example:
        >>> from analysis.metrics import forgetting
        >>> forgetting([[0.5], [0.75, 1.0], [0.25, 0.75, 1.0]])
        0.375
    """
    matrix = _with_an_earlier_task(_validated(accuracy), "forgetting")
    best = matrix[:-1, :-1].masked_fill(_future(len(matrix) - 1), -math.inf).amax(0)
    return float((best - matrix[-1, :-1]).mean())


def backward_transfer(accuracy: AccuracyMatrix) -> float:
    """How learning later tasks changed what was just learned, averaged over all but the last.

    Args:
        accuracy: R, see `average_accuracy`, of at least two tasks.

    Returns:
        mean_{j<T−1} (R[T−1, j] − R[j, j]), a fraction; negative when tasks are forgotten.

    Raises:
        TypeError, ValueError: As `average_accuracy`, and if there are fewer than two tasks.

    Source:
        Lopez-Paz and Ranzato 2017, section 2 (BWT).

    Example:
        >>> from analysis.metrics import backward_transfer
        >>> backward_transfer([[0.5], [0.75, 1.0], [0.25, 0.75, 1.0]])
        -0.25
    """
    matrix = _with_an_earlier_task(_validated(accuracy), "backward_transfer")
    return float((matrix[-1] - matrix.diagonal())[:-1].mean())


def _validated(accuracy: AccuracyMatrix) -> Tensor:
    """R as float64 on the CPU, shape (tasks, tasks), checked, NaN where j > i."""
    try:
        rows = [list(row) for row in accuracy]
    except TypeError:  # what is no row cannot be iterated over
        rows = []
    if not rows:
        raise ValueError(
            "the accuracy matrix has no rows; pass one per task learned, R[i][j] the accuracy "
            "on task j after task i."
        )
    tasks = len(rows)
    matrix = torch.full((tasks, tasks), math.nan, dtype=torch.float64)
    for i, row in enumerate(rows):
        if not i < len(row) <= tasks:
            raise ValueError(
                f"row {i} of the accuracy matrix has {len(row)} entries for {tasks} tasks; "
                f"pass at least {i + 1}, one per task learned by then, and at most {tasks}."
            )
        measured = [
            checked_number(f"accuracy: R[{i}, {j}]", entry, finite=False)
            for j, entry in enumerate(row[: i + 1])
        ]
        matrix[i, : i + 1] = matrix.new_tensor(measured)
    wrong = ~((matrix >= 0) & (matrix <= 1)) & ~_future(tasks)
    if wrong.any():
        i, j = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"R[{i}, {j}] = {matrix[i, j].item():g} is not an accuracy in 0..1; every entry with "
            "j <= i must be measured, and percentages divided by 100."
        )
    return matrix


def _future(tasks: int) -> Tensor:
    """True where j > i."""
    return torch.ones(tasks, tasks, dtype=torch.bool).triu(1)


def _with_an_earlier_task(matrix: Tensor, called: str) -> Tensor:
    if len(matrix) < 2:
        raise ValueError(
            f"{called} compares with earlier tasks, but the accuracy matrix has {len(matrix)} "
            "task; pass at least two."
        )
    return matrix
