import random

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from psp_data._random_order import random_order

# The same cases in every run, and no deadline, since the machine may be busy.
exact = settings(deadline=None, derandomize=True, database=None, max_examples=25)


@exact
@given(count=st.integers(0, 300), seed=st.integers())
def test_an_order_contains_every_index_once(count, seed):
    assert random_order(count, seed).sort().values.tolist() == list(range(count))


@exact
@given(seed=st.integers())
def test_an_order_depends_on_its_label_alone(seed):
    first = random_order(40, "test", seed)
    torch.rand(1), np.random.rand(), random.random()  # the global generators must not matter
    assert torch.equal(random_order(40, "test", seed), first)
    assert not torch.equal(random_order(40, "test", seed + 1), first)
    assert not torch.equal(random_order(40, "other", seed), first)


def test_an_order_leaves_the_global_generators_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    random_order(40, "test", 1)
    assert torch.equal(torch.rand(3), expected)


def test_orders_never_change():
    assert random_order(10, "golden", 1, 2).tolist() == [7, 2, 9, 1, 5, 6, 8, 4, 0, 3]


def test_every_index_is_equally_frequent_at_every_position():
    counts = torch.zeros(4, 4)
    for seed in range(4000):
        counts[torch.arange(4), random_order(4, "uniform", seed)] += 1
    # 1000 expected in each cell, standard deviation 27
    assert (counts - 1000).abs().max() < 110
