from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from psp_data import IncrementalStream, split

# The machine may be busy, and a failure should be that of the change and not of the day.
exact = settings(deadline=None, derandomize=True, database=None, max_examples=25)


@pytest.fixture(scope="session")
def classed(numbered):
    """Builds images of the classes 0..num_classes-1, ten train and ten test images of each."""

    def build(num_classes, shape=(1, 4, 4), seed=0):
        labels = torch.arange(10 * num_classes) % num_classes
        images = numbered(len(labels), shape, seed)
        return replace(images, name="classed", train_labels=labels, test_labels=labels.flip(0))

    return build


@st.composite
def class_lists(draw):
    """Some of eight classes, in any order, for one to four tasks."""
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
        for place, label in enumerate(classes):
            expected = images.train_images[images.train_labels == label]
            assert sorted(shown[labels == place].flatten(1).tolist()) == sorted(
                expected.flatten(1).tolist()
            )


@exact
@given(lists=class_lists())
def test_a_test_set_holds_the_classes_of_its_task_with_labels_of_the_head(classed, lists):
    images = classed(8)
    stream = IncrementalStream([(images, classes) for classes in lists], batch_size=10)
    assert stream.num_classes == max(map(len, lists))
    for task, classes in enumerate(lists):
        samples, labels = stream.test_set(task)
        chosen = torch.isin(images.test_labels, torch.tensor(classes))
        assert torch.equal(samples, images.scaled(images.test_images[chosen]))
        assert [classes[label] for label in labels.tolist()] == images.test_labels[chosen].tolist()
        assert stream.classes(task) == tuple(classes)


def test_tasks_may_come_from_several_sets_each_scaled_its_own_way(classed):
    first, second = classed(2, seed=1), replace(classed(3, seed=2), mean=0.1, std=0.3)
    stream = IncrementalStream([(first, [1]), (second, [2, 0])], batch_size=10, steps_per_task=1)
    assert torch.equal(stream.test_set(0)[0], first.scaled(first.test_images[::2]))
    samples, labels = stream.train_batch(1)
    for sample, label in zip(samples, labels, strict=True):
        original = second.scaled(second.train_images[second.train_labels == (2, 0)[label]])
        assert (sample == original).flatten(1).all(1).any()


def test_every_task_begins_an_epoch_of_its_own(classed):
    images = classed(4)
    whole = IncrementalStream([(images, [0, 1])] * 2, batch_size=8, steps_per_task=3)
    longer = IncrementalStream([(images, [0, 1])] * 2, batch_size=8, steps_per_task=5)
    for step in range(3):
        assert torch.equal(whole.train_batch(3 + step)[0], longer.train_batch(5 + step)[0])


def test_tasks_follow_each_other_and_are_their_own_contexts(classed):
    stream = IncrementalStream([(classed(2), [0])] * 3, batch_size=2, steps_per_task=2)
    assert [stream.task(step) for step in range(6)] == [0, 0, 1, 1, 2, 2]
    assert [stream.context(step) for step in range(6)] == [0, 0, 1, 1, 2, 2]


def test_a_set_of_several_tasks_is_held_once(classed):
    images = classed(4)
    stream = IncrementalStream([(images, [0]), (images, [1])], batch_size=2, device="cpu")
    held = {task.images.train_images.data_ptr() for task in stream._tasks}
    assert held == {images.train_images.data_ptr()}


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ([], r"tasks is empty; pass at least one \(images, classes\)"),
        ([[0], []], r"tasks\[1\]: the list of classes is empty"),
        ([[0], [1, 2, 1]], r"tasks\[1\]: the classes 1 are listed repeatedly"),
        ([[3, 3, 0, 0]], r"tasks\[0\]: the classes 0, 3 are listed repeatedly"),
        (
            [[0, 9], [4, 5]],
            r"this copy of classed has no images of the classes 4–5, 9; it holds 0–",
        ),
        ([[-1]], "no images of the classes -1; it holds 0–3"),
    ],
)
def test_lists_of_classes_that_make_no_task_are_refused(classed, lists, message):
    images = classed(4)
    with pytest.raises(ValueError, match=message):
        IncrementalStream([(images, classes) for classes in lists], batch_size=2)


@pytest.mark.parametrize(
    "give",
    [tuple, np.array, torch.tensor, iter, lambda labels: [np.int8(label) for label in labels]],
)
def test_classes_may_be_given_as_any_integers_in_a_row(classed, give):
    images = classed(4)
    stream = IncrementalStream(iter([(images, give([2, 0])), (images, give([3]))]), batch_size=2)
    assert [stream.classes(task) for task in range(2)] == [(2, 0), (3,)]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("01", r"tasks\[1\]: class='0' must be an integer, but is a str; pass an int"),
        ([0, 1.0], r"tasks\[1\]: class=1\.0 must be an integer, but is a float"),
        (torch.tensor([0.0]), r"tasks\[1\]: class=tensor\(0\.\) must be an integer"),
    ],
)
def test_classes_that_are_no_integers_are_refused_by_name(classed, classes, message):
    images = classed(4)
    with pytest.raises(TypeError, match=message):
        IncrementalStream([(images, [0]), (images, classes)], batch_size=2)


def test_classes_that_only_the_train_set_holds_are_absent(classed):
    images = replace(classed(2), test_labels=torch.zeros(20, dtype=torch.int64))
    with pytest.raises(ValueError, match="no images of the classes 1; it holds 0"):
        IncrementalStream([(images, [0, 1])], batch_size=2)


def test_sets_of_different_shapes_are_refused(classed):
    with pytest.raises(
        ValueError, match=r"tasks\[1\]: .*\(1, 5, 5\).* does not go with .*one shape"
    ):
        IncrementalStream([(classed(2), [0]), (classed(2, (1, 5, 5)), [0])], batch_size=2)


def test_a_batch_larger_than_a_task_is_refused(classed):
    with pytest.raises(ValueError, match="batch_size=11 is more than the 10 samples"):
        IncrementalStream([(classed(2), [0, 1]), (classed(2), [0])], batch_size=11)


@exact
@given(num_tasks=st.integers(1, 5), classes_per_task=st.integers(1, 4))
def test_split_deals_out_every_class_once(classed, num_tasks, classes_per_task):
    images = classed(num_tasks * classes_per_task)
    tasks = split(images, classes_per_task)
    assert len(tasks) == num_tasks
    assert sum((classes for _, classes in tasks), ()) == images.classes


def test_split_takes_the_classes_that_are_there(classed):
    images = classed(4)
    images = replace(images, train_labels=images.train_labels + 10)
    assert [classes for _, classes in split(images, 2)] == [(10, 11), (12, 13)]


@pytest.mark.parametrize(
    ("count", "message"), [(3, "=3 does not divide the 4 classes"), (0, "=0 must be")]
)
def test_a_split_that_does_not_come_out_even_is_refused(classed, count, message):
    with pytest.raises(ValueError, match=f"classes_per_task{message}"):
        split(classed(4), count)


def test_classes_without_an_order_are_refused(classed):
    with pytest.raises(TypeError, match=r"tasks\[0\] must be a pair .* a list, whose order is"):
        IncrementalStream([(classed(8), {7, 3})], batch_size=10)
