"""Summaries of the accuracy matrix of continual learning: averages and forgetting.

R[i, j] is the accuracy on task j after task i was learned. Entries with j > i belong to tasks that
are not learned yet and are ignored: they may be NaN, and rows may end at the diagonal.
"""

import math
from collections.abc import Iterable
from typing import SupportsFloat

import torch
from torch import Tensor

AccuracyMatrix = Iterable[Iterable[SupportsFloat]]
"""R as rows of accuracies: lists, an array, a tensor, or a list of either."""


def average_accuracy(accuracy: AccuracyMatrix) -> float:
    """Return the mean accuracy over all tasks after the last one.

    Args:
        accuracy: R, shape (tasks, tasks), fractions in 0..1.

    Returns:
        mean_j R[T−1, j], a fraction.

    Raises:
        ValueError: If R is not square, lacks an entry with j ≤ i, or has one outside 0..1.

    Source:
        Lopez-Paz and Ranzato 2017, section 2 (ACC).

    Example:
        >>> from analysis.metrics import average_accuracy
        >>> average_accuracy([[0.75], [0.5, 1.0]])
        0.75
    """
    return float(_to_tensor(accuracy)[-1].mean())


def last_average_accuracy(accuracy: AccuracyMatrix, count: int) -> float:
    """Return the mean accuracy over the `count` most recent tasks after the last one.

    Args:
        accuracy: R, see `average_accuracy`.
        count: Number of tasks, from 1 to all; 10 of 50 in the paper's table.

    Returns:
        The mean of the last `count` entries of R's last row, a fraction.

    Raises:
        ValueError: See `average_accuracy`; and if `count` is out of range.

    Source:
        Cheung et al. 2019, figure 3, right.

    Example:
        >>> from analysis.metrics import last_average_accuracy
        >>> last_average_accuracy([[1.0], [0.5, 1.0], [0.0, 0.5, 0.75]], count=2)
        0.625
    """
    last_row = _to_tensor(accuracy)[-1]
    if not 1 <= count <= len(last_row):
        raise ValueError(
            f"last_average_accuracy got count={count} for {len(last_row)} tasks; pass 1 to all."
        )
    return float(last_row[-count:].mean())


def forgetting(accuracy: AccuracyMatrix) -> float:
    """Return the drop of accuracy from its best, averaged over all tasks but the last.

    Args:
        accuracy: R, see `average_accuracy`, of at least two tasks.

    Returns:
        mean_{j<T−1} (max_{j≤i<T−1} R[i, j] − R[T−1, j]), a fraction; negative if tasks improved.

    Raises:
        ValueError: See `average_accuracy`; and if there are fewer than two tasks.

    Source:
        Chaudhry et al. 2018, equation 3.

    Example:
        >>> from analysis.metrics import forgetting
        >>> forgetting([[0.5], [0.75, 1.0], [0.25, 0.75, 1.0]])
        0.375
    """
    matrix = _to_tensor(accuracy, least_tasks=2)
    best = matrix[:-1, :-1].masked_fill(_future(len(matrix) - 1), -math.inf).amax(0)
    return float((best - matrix[-1, :-1]).mean())


def backward_transfer(accuracy: AccuracyMatrix) -> float:
    """Return the effect of later tasks on accuracy when just learned, over all tasks but the last.

    Args:
        accuracy: R, see `average_accuracy`, of at least two tasks.

    Returns:
        mean_{j<T−1} (R[T−1, j] − R[j, j]), a fraction; negative when tasks are forgotten.

    Raises:
        ValueError: See `average_accuracy`; and if there are fewer than two tasks.

    Source:
        Lopez-Paz and Ranzato 2017, section 2 (BWT).

    Example:
        >>> from analysis.metrics import backward_transfer
        >>> backward_transfer([[0.5], [0.75, 1.0], [0.25, 0.75, 1.0]])
        -0.25
    """
    matrix = _to_tensor(accuracy, least_tasks=2)
    return float((matrix[-1] - matrix.diagonal())[:-1].mean())


def _to_tensor(accuracy: AccuracyMatrix, *, least_tasks: int = 1) -> Tensor:
    """Convert R to float64 on the CPU, shape (tasks, tasks), with NaN where j > i."""
    rows = [list(row) for row in accuracy]
    tasks = len(rows)
    if tasks < least_tasks:
        raise ValueError(
            f"the accuracy matrix has {tasks} rows; pass at least {least_tasks}, one per task."
        )
    matrix = torch.full((tasks, tasks), math.nan, dtype=torch.float64)
    for i, row in enumerate(rows):
        if not i < len(row) <= tasks:
            raise ValueError(
                f"row {i} of the accuracy matrix has {len(row)} entries; pass {i + 1} to {tasks}."
            )
        matrix[i, : i + 1] = matrix.new_tensor([float(entry) for entry in row[: i + 1]])
    invalid = ~((matrix >= 0) & (matrix <= 1)) & ~_future(tasks)
    if invalid.any():
        i, j = invalid.nonzero()[0].tolist()
        raise ValueError(
            f"R[{i}, {j}] = {matrix[i, j]:g} is not in 0..1; divide percentages by 100."
        )
    return matrix


def _future(tasks: int) -> Tensor:
    """Boolean matrix, True where j > i."""
    return torch.ones(tasks, tasks, dtype=torch.bool).triu(1)
