import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from psp_data import PermutingStream

# The same cases in every run, and no deadline, since the machine may be busy.
exact = settings(deadline=None, derandomize=True, database=None, max_examples=25)


@exact
@given(seed=st.integers(), task=st.integers(1, 30), side=st.integers(1, 6))
def test_a_permutation_is_a_bijection(numbered, seed, task, side):
    stream = PermutingStream(numbered(3, (2, side, side)), 31, seed, batch_size=2)
    drawn = stream.permutation(task)
    assert drawn.sort().values.tolist() == list(range(2 * side * side))


@exact
@given(seed=st.integers())
def test_task_0_is_not_permuted(numbered, seed):
    images = numbered(4)
    stream = PermutingStream(images, 2, seed, batch_size=2)
    assert stream.permutation(0).tolist() == list(range(16))
    samples, labels = stream.train_batch(0)
    assert torch.equal(samples, images.scaled(images.train_images[labels].flatten(1)))


@exact
@given(seed=st.integers(), step=st.integers(0, 8))
def test_train_and_test_samples_of_a_task_share_its_permutation(numbered, seed, step):
    images = numbered(4, (3, 4, 2))
    stream = PermutingStream(images, 3, seed, batch_size=2, steps_per_task=3)
    order = stream.permutation(stream.task(step))
    samples, labels = stream.train_batch(step)
    assert torch.equal(samples, images.scaled(images.train_images[labels]).flatten(1)[:, order])
    test_samples, test_labels = stream.test_set(stream.task(step))
    assert torch.equal(test_samples, images.scaled(images.test_images).flatten(1)[:, order])
    assert torch.equal(test_labels, images.test_labels)


@exact
@given(seed=st.integers())
def test_tasks_and_seeds_have_different_permutations(numbered, seed):
    images = numbered(3, (1, 8, 8))
    stream = PermutingStream(images, 4, seed, batch_size=2)
    other = PermutingStream(images, 4, seed + 1, batch_size=2)
    drawn = [stream.permutation(task) for task in range(4)] + [other.permutation(1)]
    assert len({tuple(order.tolist()) for order in drawn}) == 5


def test_a_permutation_does_not_depend_on_the_number_of_tasks(numbered):
    few, many = (PermutingStream(numbered(3), tasks, batch_size=2) for tasks in (3, 300))
    assert torch.equal(few.permutation(2), many.permutation(2))


def test_changing_a_returned_permutation_does_not_change_the_stream(numbered):
    stream = PermutingStream(numbered(3), batch_size=2, steps_per_task=1)
    for task in (0, 2):
        order, samples = stream.permutation(task).clone(), stream.train_batch(task)[0]
        stream.permutation(task).zero_()
        assert torch.equal(stream.permutation(task), order)
        assert torch.equal(stream.train_batch(task)[0], samples)


def test_permutations_never_change(numbered):
    stream = PermutingStream(numbered(3, (1, 3, 3)), batch_size=2)
    assert stream.permutation(7).tolist() == [1, 6, 4, 5, 2, 3, 0, 8, 7]


def test_tasks_follow_each_other_and_have_one_context_each(numbered):
    stream = PermutingStream(numbered(3), 3, batch_size=2, steps_per_task=2)
    assert [stream.task(step) for step in range(6)] == [0, 0, 1, 1, 2, 2]
    assert [stream.context(step) for step in range(6)] == [0, 0, 1, 1, 2, 2]
    assert stream.num_contexts == 3


def test_the_images_are_not_copied_for_the_tasks(numbered):
    images = numbered(50)
    stream = PermutingStream(images, 40, batch_size=2, steps_per_task=1)
    for step in range(40):
        stream.train_batch(step)
    tensors = [value for value in vars(stream).values() if isinstance(value, torch.Tensor)]
    assert {tensor.data_ptr() for tensor in tensors} == {images.train_images.data_ptr()}
    assert sum(order.numel() for order in stream._permutations.values()) <= 40 * 16


@pytest.mark.parametrize("num_tasks", [0, -2])
def test_a_stream_without_tasks_raises(numbered, num_tasks):
    with pytest.raises(ValueError, match=f"num_tasks={num_tasks} must be at least 1"):
        PermutingStream(numbered(3), num_tasks, batch_size=2)
