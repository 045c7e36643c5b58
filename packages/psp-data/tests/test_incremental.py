from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from psp_data import IncrementalStream, split

# The same cases in every run, and no deadline, since the machine may be busy.
exact = settings(deadline=None, derandomize=True, database=None, max_examples=25)


@pytest.fixture(scope="session")
def classed(numbered):
    """Build images of the classes 0..num_classes-1, ten train and ten test images of each."""

    def build(num_classes, shape=(1, 4, 4), seed=0):
        labels = torch.arange(10 * num_classes) % num_classes
        images = numbered(len(labels), shape, seed)
        return replace(images, name="classed", train_labels=labels, test_labels=labels.flip(0))

    return build


@st.composite
def class_lists(draw):
    """Draw some of eight classes, in any order, for each of one to four tasks."""
    order = st.permutations(range(8))
    return [draw(order)[: draw(st.integers(1, 8))] for _ in range(draw(st.integers(1, 4)))]


@exact
@given(lists=class_lists(), seed=st.integers())
def test_a_task_shows_all_samples_of_its_classes_and_no_others(classed, lists, seed):
    images = classed(8)
    stream = IncrementalStream(
        [(images, classes) for classes in lists], seed, batch_size=10, steps_per_task=8
    )
    for task, classes in enumerate(lists):
        steps = range(8 * task, 8 * task + len(classes))  # one epoch
        batches = [stream.train_batch(step) for step in steps]
        shown = torch.cat([stream.grey(samples, task) for samples, _ in batches])
        labels = torch.cat([labels for _, labels in batches])
        for index, label in enumerate(classes):
            expected = images.train_images[images.train_labels == label]
            assert sorted(shown[labels == index].flatten(1).tolist()) == sorted(
                expected.flatten(1).tolist()
            )


@exact
@given(lists=class_lists())
def test_a_test_set_has_the_classes_of_its_task_and_labels_of_the_head(classed, lists):
    images = classed(8)
    stream = IncrementalStream([(images, classes) for classes in lists], batch_size=10)
    assert stream.num_classes == max(map(len, lists))
    for task, classes in enumerate(lists):
        samples, labels = stream.test_set(task)
        chosen = torch.isin(images.test_labels, torch.tensor(classes))
        assert torch.equal(samples, images.scaled(images.test_images[chosen]))
        assert [classes[label] for label in labels.tolist()] == images.test_labels[chosen].tolist()
        assert stream.classes(task) == tuple(classes)


def test_tasks_of_different_sets_keep_the_scale_of_their_set(classed):
    first, second = classed(2, seed=1), replace(classed(3, seed=2), mean=0.1, std=0.3)
    stream = IncrementalStream([(first, [1]), (second, [2, 0])], batch_size=10, steps_per_task=1)
    assert torch.equal(stream.test_set(0)[0], first.scaled(first.test_images[::2]))
    samples, labels = stream.train_batch(1)
    for sample, label in zip(samples, labels, strict=True):
        original = second.scaled(second.train_images[second.train_labels == (2, 0)[label]])
        assert (sample == original).flatten(1).all(1).any()


def test_every_task_starts_a_new_epoch(classed):
    images = classed(4)
    shorter = IncrementalStream([(images, [0, 1])] * 2, batch_size=8, steps_per_task=3)
    longer = IncrementalStream([(images, [0, 1])] * 2, batch_size=8, steps_per_task=5)
    for step in range(3):
        assert torch.equal(shorter.train_batch(3 + step)[0], longer.train_batch(5 + step)[0])


def test_tasks_follow_each_other_and_have_one_context_each(classed):
    stream = IncrementalStream([(classed(2), [0])] * 3, batch_size=2, steps_per_task=2)
    assert [stream.task(step) for step in range(6)] == [0, 0, 1, 1, 2, 2]
    assert [stream.context(step) for step in range(6)] == [0, 0, 1, 1, 2, 2]


def test_a_set_of_several_tasks_is_stored_once(classed):
    images = classed(4)
    stream = IncrementalStream([(images, [0]), (images, [1])], batch_size=2, device="cpu")
    pointers = {task.images.train_images.data_ptr() for task in stream._tasks}
    assert pointers == {images.train_images.data_ptr()}


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ([], r"tasks is empty; pass at least one pair \(images, classes\)\."),
        ([[0], []], r"tasks\[1\]: the list of classes is empty; name at least one\."),
        ([[0], [1, 2, 1]], r"tasks\[1\]: the classes 1 are repeated\."),
        ([[3, 3, 0, 0]], r"tasks\[0\]: the classes 0, 3 are repeated\."),
        ([[0, 9], [4, 5]], r"classed has no images of the classes 4–5, 9; it has 0–3\. List only"),
        ([[-1]], r"no images of the classes -1; it has 0–3\."),
    ],
)
def test_impossible_lists_of_classes_raise(classed, lists, message):
    images = classed(4)
    with pytest.raises(ValueError, match=message):
        IncrementalStream([(images, classes) for classes in lists], batch_size=2)


def test_a_set_of_classes_raises_since_it_has_no_order(classed):
    images = classed(8)
    with pytest.raises(TypeError, match=r"tasks\[1\]: a set has no order .*; pass a list\."):
        IncrementalStream([(images, [0]), (images, {7, 3})], batch_size=10)


@pytest.mark.parametrize(
    "convert",
    [tuple, np.array, torch.tensor, iter, lambda labels: [np.int8(label) for label in labels]],
)
def test_classes_may_be_any_sequence_of_integers(classed, convert):
    images = classed(4)
    tasks = iter([(images, convert([2, 0])), (images, convert([3]))])
    stream = IncrementalStream(tasks, batch_size=2)
    assert [stream.classes(task) for task in range(2)] == [(2, 0), (3,)]


@pytest.mark.parametrize("classes", ["01", [0, 1.0], torch.tensor([0.0])])
def test_classes_that_are_not_integers_raise(classed, classes):
    with pytest.raises(TypeError, match=r"integer"):
        IncrementalStream([(classed(4), classes)], batch_size=2)


def test_classes_without_test_images_raise(classed):
    images = replace(classed(2), test_labels=torch.zeros(20, dtype=torch.int64))
    with pytest.raises(ValueError, match="no images of the classes 1; it has 0"):
        IncrementalStream([(images, [0, 1])], batch_size=2)


def test_sets_of_different_shapes_raise(classed):
    with pytest.raises(ValueError, match=r"tasks\[1\]: .*\(1, 5, 5\).* does not fit .*one shape"):
        IncrementalStream([(classed(2), [0]), (classed(2, (1, 5, 5)), [0])], batch_size=2)


def test_a_batch_larger_than_a_task_raises(classed):
    with pytest.raises(ValueError, match="batch_size=11 is more than the 10 samples"):
        IncrementalStream([(classed(2), [0, 1]), (classed(2), [0])], batch_size=11)


@exact
@given(num_tasks=st.integers(1, 5), classes_per_task=st.integers(1, 4))
def test_split_uses_every_class_once(classed, num_tasks, classes_per_task):
    images = classed(num_tasks * classes_per_task)
    tasks = split(images, classes_per_task)
    assert len(tasks) == num_tasks
    assert sum((classes for _, classes in tasks), ()) == images.classes


def test_split_uses_the_classes_that_occur(classed):
    images = classed(4)
    images = replace(images, train_labels=images.train_labels + 10)
    assert [classes for _, classes in split(images, 2)] == [(10, 11), (12, 13)]


@pytest.mark.parametrize("count", [3, 0, -2])
def test_a_split_into_unequal_tasks_raises(classed, count):
    message = f"classes_per_task={count} does not divide the 4 classes of classed; use a divisor"
    with pytest.raises(ValueError, match=message):
        split(classed(4), count)
