import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from psp_data import Images, RotatingStream
from psp_data._rotate import rotate

# The same cases in every run, and no deadline, since the machine may be busy.
exact = settings(deadline=None, derandomize=True, database=None, max_examples=25)


@exact
@given(step=st.integers(0, 5000))
def test_every_batch_has_its_own_angle(numbered, step):
    images = numbered(6, (1, 7, 7))
    stream = RotatingStream(images, batch_size=3)
    assert stream.angle(step) == pytest.approx(0.36 * (step % 1000), abs=1e-9)
    samples, labels = stream.train_batch(step)
    rotated = rotate(images.train_images[labels], stream.angle(step))
    assert torch.equal(samples, images.scaled(rotated))


@exact
@given(period=st.integers(1, 50), turns=st.integers(0, 3))
def test_every_turn_begins_with_upright_images(numbered, period, turns):
    images = numbered(6)
    stream = RotatingStream(images, period=period, num_contexts=1, num_tasks=1, batch_size=3)
    samples, labels = stream.train_batch(turns * period)
    assert torch.equal(samples, images.scaled(images.train_images[labels]))


def test_contexts_by_window_change_every_hundred_steps_and_return_with_the_turn(numbered):
    stream = RotatingStream(numbered(6), batch_size=3)
    assert stream.num_contexts == 10
    for step in range(3000):
        assert stream.context(step) == step // 100 % 10


def test_fast_contexts_change_at_every_step_and_return_with_the_turn(numbered):
    stream = RotatingStream(numbered(6), num_contexts=1000, batch_size=3)
    for step in range(2000):
        assert stream.context(step) == step % 1000


@exact
@given(period=st.integers(1, 60), data=st.data())
def test_a_turn_is_divided_evenly(numbered, period, data):
    parts = data.draw(st.integers(1, period))
    stream = RotatingStream(
        numbered(6), period=period, num_contexts=parts, num_tasks=parts, batch_size=3
    )
    for method in (stream.context, stream.task):
        parts_of_steps = [method(step) for step in range(period)]
        assert parts_of_steps == sorted(parts_of_steps)
        counts = [parts_of_steps.count(part) for part in range(parts)]
        assert max(counts) - min(counts) <= 1
        assert min(counts) >= 1
        assert [stream.first_step(part) for part in range(parts)] == [
            parts_of_steps.index(part) for part in range(parts)
        ]


@exact
@given(degrees=st.floats(-400, 400))
def test_test_sets_are_available_at_any_angle(numbered, degrees):
    images = numbered(6, (2, 5, 5))
    samples, labels = RotatingStream(images, batch_size=3).test_set_at(degrees)
    assert torch.equal(samples, images.scaled(rotate(images.test_images, degrees)))
    assert torch.equal(labels, images.test_labels)


def test_tasks_are_tested_at_their_first_angle(numbered):
    stream = RotatingStream(numbered(6), num_contexts=1000, num_tasks=8, batch_size=3)
    assert [stream.angle(stream.first_step(task)) for task in range(8)] == [
        pytest.approx(45 * task) for task in range(8)
    ]
    assert stream.test_context(1) == 125
    for task in range(8):
        assert torch.equal(stream.test_set(task)[0], stream.test_set_at(45.0 * task)[0])


def test_task_0_is_tested_on_upright_images(numbered):
    images = numbered(6)
    samples, _ = RotatingStream(images, batch_size=3).test_set(0)
    assert torch.equal(samples, images.scaled(images.test_images))


def test_a_period_of_few_bits_does_not_overflow(numbered):
    short = np.int16(1000)
    stream = RotatingStream(numbered(6), period=short, num_contexts=short, batch_size=3)
    assert [stream.context(step) for step in range(1000)] == list(range(1000))


@pytest.mark.parametrize("degrees", [math.nan, math.inf])
def test_angles_must_be_finite(numbered, degrees):
    with pytest.raises(ValueError, match=f"degrees={degrees} must be finite"):
        RotatingStream(numbered(6), batch_size=3).test_set_at(degrees)


@pytest.mark.parametrize("name", ["num_contexts", "num_tasks"])
def test_more_parts_than_steps_raise(numbered, name):
    with pytest.raises(
        ValueError, match=f"{name}=21 is more than the 20 steps of a turn; use fewer"
    ):
        RotatingStream(numbered(6), period=20, **{name: 21}, batch_size=3)


@pytest.mark.parametrize("name", ["num_contexts", "num_tasks", "period"])
def test_counts_of_zero_raise(numbered, name):
    with pytest.raises(ValueError, match=f"{name}=0 must be at least 1"):
        RotatingStream(numbered(6), **{name: 0}, batch_size=3)


def test_noncontiguous_images_are_rotated_like_contiguous_ones():
    drawn = torch.randint(0, 256, (40, 8, 8, 3), dtype=torch.uint8)
    pixels, labels = drawn.permute(0, 3, 1, 2), torch.arange(40) % 10
    strided = RotatingStream(Images("own", pixels, labels, pixels, labels), batch_size=8)
    copy = pixels.contiguous()
    contiguous = RotatingStream(Images("own", copy, labels, copy, labels), batch_size=8)
    assert torch.equal(strided.test_set(3)[0], contiguous.test_set(3)[0])
    assert torch.equal(strided.test_set_at(45.0)[0], contiguous.test_set_at(45.0)[0])
