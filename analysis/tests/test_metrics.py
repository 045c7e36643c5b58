import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.metrics import (
    average_accuracy,
    backward_transfer,
    forgetting,
    last_average_accuracy,
)

exact = settings(deadline=None, derandomize=True, database=None, max_examples=50)

# After task 0: 0.9. After 1: task 0 has risen to 0.95. After 2: 0.7, 0.6. After 3: 0.5, 0.8, 0.9.
HAND = [
    [0.9, math.nan, math.nan, math.nan],
    [0.95, 0.8, math.nan, math.nan],
    [0.7, 0.6, 1.0, math.nan],
    [0.5, 0.8, 0.9, 0.6],
]


@st.composite
def accuracy_matrices(draw):
    tasks = draw(st.integers(2, 6))
    fraction = st.integers(0, 1024).map(lambda n: n / 1024)
    return [[draw(fraction) for _ in range(tasks)] for _ in range(tasks)]


def test_hand_worked_matrix():
    assert average_accuracy(HAND) == pytest.approx((0.5 + 0.8 + 0.9 + 0.6) / 4)
    assert last_average_accuracy(HAND, 2) == pytest.approx((0.9 + 0.6) / 2)
    # Best before the last task: 0.95, 0.8, 1.0; now 0.5, 0.8, 0.9.
    assert forgetting(HAND) == pytest.approx((0.45 + 0.0 + 0.1) / 3)
    # When just learned: 0.9, 0.8, 1.0.
    assert backward_transfer(HAND) == pytest.approx((-0.4 + 0.0 - 0.1) / 3)


def test_tasks_that_improve_are_transfer_and_negative_forgetting():
    improved = [[0.25], [0.5, 0.5]]
    assert backward_transfer(improved) == 0.25
    assert forgetting(improved) == -0.25


@exact
@given(accuracy_matrices())
def test_the_future_plays_no_part(rows):
    ended = [row[: i + 1] for i, row in enumerate(rows)]
    unknown = torch.tensor(rows, dtype=torch.float64)
    unknown[torch.ones_like(unknown).triu(1) > 0] = math.nan
    for metric in (average_accuracy, forgetting, backward_transfer):
        assert metric(rows) == metric(ended) == metric(unknown)


@pytest.mark.parametrize("give", [np.array, torch.tensor, tuple])
def test_rows_may_be_arrays_or_tensors_alone_or_together(give):
    ended = [give(row[: i + 1]) for i, row in enumerate(HAND)]
    for metric in (average_accuracy, forgetting, backward_transfer):
        assert metric(give(HAND)) == metric(ended) == pytest.approx(metric(HAND))


@exact
@given(accuracy_matrices())
def test_metrics_agree_with_their_definitions_entry_by_entry(rows):
    last = len(rows) - 1
    lost = [max(rows[i][j] for i in range(j, last)) - rows[last][j] for j in range(last)]
    gained = [rows[last][j] - rows[j][j] for j in range(last)]
    assert forgetting(rows) == pytest.approx(np.mean(lost))
    assert backward_transfer(rows) == pytest.approx(np.mean(gained))
    assert forgetting(rows) >= -backward_transfer(rows) - 1e-12
    assert last_average_accuracy(rows, len(rows)) == average_accuracy(rows)
    assert last_average_accuracy(rows, 1) == rows[last][last]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "has 0 rows; pass at least ., one per task"),
        (np.zeros((0, 0)), "has 0 rows; pass at least ., one per task"),
        ([[0.5], [0.5]], r"row 1 of the accuracy matrix has 1 entries; pass 2 to 2"),
        ([[0.5, 0.5, 0.5], [0.5, 0.5]], "row 0 .* has 3 entries; pass 1 to 2"),
        ([[0.5], [math.nan, 0.5]], r"R\[1, 0\] = nan is not in 0\.\.1"),
        ([[50.0], [20.0, 30.0]], r"R\[0, 0\] = 50 .* divide percentages by 100"),
    ],
)
def test_bad_matrices_are_refused(rows, message):
    for metric in (average_accuracy, forgetting, backward_transfer):
        with pytest.raises(ValueError, match=message):
            metric(rows)


def test_comparisons_with_earlier_tasks_need_two_tasks():
    for metric in (forgetting, backward_transfer):
        with pytest.raises(ValueError, match="has 1 rows; pass at least 2, one per task"):
            metric([[1.0]])


@pytest.mark.parametrize("count", [-1, 0, 5])
def test_the_last_average_needs_a_count_of_tasks(count):
    with pytest.raises(ValueError, match=rf"count={count} for 4 tasks; pass 1 to all"):
        last_average_accuracy(HAND, count)
