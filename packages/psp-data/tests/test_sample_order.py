import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from psp_data._sample_order import SampleOrder

# The same cases in every run, and no deadline, since the machine may be busy.
exact = settings(deadline=None, derandomize=True, database=None, max_examples=25)

CPU = torch.device("cpu")


@st.composite
def sizes(draw):
    num_samples = draw(st.integers(1, 40))
    return num_samples, draw(st.integers(1, num_samples))


@exact
@given(size=sizes(), seed=st.integers(), epoch=st.integers(0, 5))
def test_an_epoch_holds_every_sample_exactly_once(size, seed, epoch):
    num_samples, batch_size = size
    order = SampleOrder(num_samples, batch_size, seed, device=CPU)
    first, last = epoch * num_samples, (epoch + 1) * num_samples
    batches = range(first // batch_size, -(-last // batch_size))
    drawn = torch.cat([order(step) for step in batches])
    start = first - batches[0] * batch_size
    assert drawn[start : start + num_samples].sort().values.tolist() == list(range(num_samples))


@exact
@given(size=sizes(), seed=st.integers(), steps=st.lists(st.integers(0, 10**6), max_size=8))
def test_batches_are_full_and_do_not_depend_on_earlier_calls(size, seed, steps):
    num_samples, batch_size = size
    order = SampleOrder(num_samples, batch_size, seed, device=CPU)
    for step in steps:
        batch = order(step)
        assert batch.shape == (batch_size,)
        assert torch.equal(batch, SampleOrder(num_samples, batch_size, seed, device=CPU)(step))


def test_epochs_have_different_orders():
    order = SampleOrder(30, 30, "test", device=CPU)
    assert not torch.equal(order(0), order(1))


@exact
@given(steps=st.lists(st.integers(0, 1000), min_size=1, max_size=10))
def test_at_most_two_epochs_are_cached(steps):
    order = SampleOrder(7, 3, "test", device=CPU)
    for step in steps:
        order(step)
    assert len(order._epochs) <= 2


def test_a_batch_larger_than_the_set_raises():
    with pytest.raises(ValueError, match=r"batch_size=8 is more than the 7 samples\."):
        SampleOrder(7, 8, device=CPU)
