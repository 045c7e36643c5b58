"""Properties of every stream. To test a new stream, add it to STREAMS."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from psp_data import Images, IncrementalStream, PermutingStream, RotatingStream

# The same cases in every run, and no deadline, since the machine may be busy.
exact = settings(deadline=None, derandomize=True, database=None, max_examples=25)


def permuting(images, seed=1, batch_size=3, steps=4, **more):
    return PermutingStream(images, 5, seed, batch_size=batch_size, steps_per_task=steps, **more)


def rotating(images, seed=1, batch_size=3, steps=4, **more):
    return RotatingStream(
        images, seed, period=5 * steps, num_contexts=4, num_tasks=5, batch_size=batch_size, **more
    )


def incremental(images, seed=1, batch_size=3, steps=4, **more):
    """Every task shows all classes, so the label of a sample is its row, as elsewhere."""
    tasks = [(images, range(len(images.train_labels)))] * 5
    return IncrementalStream(tasks, seed, batch_size=batch_size, steps_per_task=steps, **more)


STREAMS = [permuting, rotating, incremental]
every_stream = pytest.mark.parametrize("build", STREAMS)
seeds = st.integers(-(2**40), 2**40)
shapes = st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6))


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@every_stream
@exact
@given(seed=seeds, count=st.integers(3, 12), shape=shapes, order=st.permutations(range(20)))
def test_a_batch_depends_on_seed_and_step_alone(build, numbered, seed, count, shape, order):
    images = numbered(count, shape)
    stream = build(images, seed)
    in_order = [stream.train_batch(step) for step in range(20)]
    torch.rand(1), np.random.rand()  # the global generators must not matter
    for step in order:
        assert equal(stream.train_batch(step), in_order[step])
    resumed = build(images, seed)
    for step in range(order[0], 20):
        assert equal(resumed.train_batch(step), in_order[step])


@every_stream
@exact
@given(seed=seeds, count=st.integers(3, 12), data=st.data())
def test_an_epoch_shows_every_sample_exactly_once(build, numbered, seed, count, data):
    batch_size = data.draw(st.integers(1, count))
    stream = build(numbered(count), seed, batch_size, steps=2 * count)
    labels = torch.cat([stream.train_batch(step)[1] for step in range(2 * count)])
    for epoch in labels[: len(labels) // count * count].view(-1, count):
        assert epoch.sort().values.tolist() == list(range(count))


@every_stream
@exact
@given(seed=seeds, shape=shapes, step=st.integers(0, 19))
def test_batches_and_test_sets_have_the_documented_shapes_and_dtypes(
    build, numbered, seed, shape, step
):
    stream = build(numbered(7, shape), seed)
    samples, labels = stream.train_batch(step)
    assert samples.shape == (3, *stream.sample_shape)
    assert labels.shape == (3,)
    test_samples, test_labels = stream.test_set(stream.task(step))
    assert test_samples.shape == (7, *stream.sample_shape)
    assert test_labels.shape == (7,)
    for part in (samples, test_samples):
        assert part.dtype == torch.float32
        assert part.device == stream.device
    for part in (labels, test_labels):
        assert part.dtype == torch.int64
        assert part.min() >= 0
        assert part.max() < stream.num_classes


@every_stream
@exact
@given(step=st.integers(0, 19))
def test_tasks_and_contexts_are_in_range_and_tasks_begin_at_their_first_step(build, numbered, step):
    stream = build(numbered(7))
    task = stream.task(step)
    assert 0 <= task < stream.num_tasks
    assert 0 <= stream.context(step) < stream.num_contexts
    assert stream.task(stream.first_step(task)) == task
    assert stream.first_step(task) <= step
    if stream.first_step(task):
        assert stream.task(stream.first_step(task) - 1) == task - 1
    assert stream.test_context(task) == stream.context(stream.first_step(task))


@every_stream
def test_different_seeds_draw_different_samples(build, numbered):
    images = numbered(12)
    first, second = build(images, seed=1), build(images, seed=2)
    assert not torch.equal(first.train_batch(0)[1], second.train_batch(0)[1])


@every_stream
def test_changing_a_batch_in_place_does_not_change_the_stream(build, numbered):
    images = numbered(6)
    before = [t.clone() for t in (images.train_images, images.train_labels, images.test_images)]
    stream = build(images, batch_size=6)
    for step in (0, 4):
        expected = [part.clone() for part in stream.train_batch(step)]
        for part in stream.train_batch(step):
            part.zero_()
        assert equal(stream.train_batch(step), expected)
    for task in (0, 1):
        expected = [part.clone() for part in stream.test_set(task)]
        for part in stream.test_set(task):
            part.zero_()
        assert equal(stream.test_set(task), expected)
    assert equal(before, (images.train_images, images.train_labels, images.test_images))


@every_stream
def test_grey_restores_the_images_of_task_0(build, numbered):
    images = numbered(6, (3, 4, 5))
    stream = build(images)
    samples, labels = stream.train_batch(0)
    assert torch.equal(stream.grey(samples, 0), images.train_images[labels])


@every_stream
@pytest.mark.parametrize("step", [-1, -1000])
def test_negative_steps_raise(build, numbered, step):
    stream = build(numbered(6))
    for method in (stream.train_batch, stream.task, stream.context):
        with pytest.raises(IndexError, match=rf"step={step} is not one of the steps 0\.\."):
            method(step)


@every_stream
def test_numpy_and_torch_integers_work_like_ints(build, numbered):
    images, small = numbered(12), np.int8
    stream = build(images, seed=3, batch_size=5, steps=25)
    other = build(images, seed=small(3), batch_size=small(5), steps=small(25))
    for step in (0, 60, 99, 124):
        expected = stream.train_batch(step)
        for given_step in (small(step), np.array(step, np.uint8), torch.tensor(step)):
            assert equal(stream.train_batch(given_step), expected)
            assert equal(other.train_batch(given_step), expected)
            assert other.context(given_step) == stream.context(step)
            assert other.task(given_step) == stream.task(step)
    assert equal(other.test_set(small(4)), stream.test_set(4))
    assert (type(other.batch_size), type(other.num_contexts)) == (int, int)


@every_stream
def test_the_default_device_does_not_matter(build, numbered):
    images = numbered(6)
    with torch.device("meta"):
        stream = build(images)
        batches, test_set = [stream.train_batch(step) for step in (0, 7)], stream.test_set(1)
    expected = build(images)
    for step, batch in zip((0, 7), batches, strict=True):
        assert equal(batch, expected.train_batch(step))
    assert equal(test_set, expected.test_set(1))


@every_stream
def test_floats_are_not_accepted_as_integers(build, numbered):
    images = numbered(6)
    stream = build(images)
    for call in (
        lambda: stream.train_batch(1.5),
        lambda: stream.test_set(1.0),
        lambda: build(images, batch_size=3.0),
        lambda: build(images, steps=4.0),
        lambda: build(images, seed=0.5),
    ):
        with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
            call()


@pytest.mark.parametrize("build", [permuting, incremental])
def test_steps_beyond_the_end_raise(build, numbered):
    stream = build(numbered(6))
    assert stream.num_steps == 20
    with pytest.raises(IndexError, match=r"step=20 is not one of the steps 0\.\.19 of this \w+Str"):
        stream.train_batch(20)


@every_stream
@pytest.mark.parametrize("task", [-1, 5])
def test_nonexistent_tasks_raise(build, numbered, task):
    stream = build(numbered(6))
    samples, _ = stream.test_set(0)
    for method in (
        stream.test_set,
        stream.first_step,
        stream.test_context,
        lambda task: stream.grey(samples, task),
    ):
        with pytest.raises(
            IndexError, match=rf"task={task} is not one of the tasks 0\.\.4 of this"
        ):
            method(task)


@every_stream
def test_grey_of_another_shape_or_dtype_raises(build, numbered):
    stream = build(numbered(6))
    samples, _ = stream.test_set(0)
    for wrong in (samples[0], samples[..., :3], samples[None]):
        with pytest.raises(
            ValueError, match=r"must be a batch of samples of shape .*; pass samples of"
        ):
            stream.grey(wrong, 0)
    with pytest.raises(TypeError, match=r"must be floating, but are torch\.uint8"):
        stream.grey(samples.to(torch.uint8), 0)


@every_stream
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"batch_size": 7}, r"batch_size=7 is more than the 6 samples\."),
        ({"batch_size": 0}, r"batch_size=0 must be at least 1\."),
        ({"steps": 0}, r"(steps_per_task|period)=0 must be at least 1\."),
        ({"steps": -1}, r"(steps_per_task|period)=-\d must be at least 1\."),
    ],
)
def test_impossible_counts_raise(build, numbered, bad, message):
    with pytest.raises(ValueError, match=message):
        build(numbered(6), **bad)


def fingerprint(stream):
    digest = hashlib.sha256()
    for step in (0, 7, 19, 3):
        for part in stream.train_batch(step):
            digest.update(part.numpy().tobytes())
    return digest.hexdigest()


def test_batches_do_not_depend_on_the_process_or_its_hash_seed(numbered):
    program = (
        "import json, runpy, sys\n"
        "tests, conftest = (runpy.run_path(path) for path in sys.argv[1:])\n"
        "images = conftest['numbered_images'](9, (2, 5, 5))\n"
        "prints = [tests['fingerprint'](build(images)) for build in tests['STREAMS']]\n"
        "print(json.dumps(prints))\n"
    )
    conftest = os.path.join(os.path.dirname(__file__), "conftest.py")
    answer = subprocess.run(
        [sys.executable, "-c", program, __file__, conftest],
        env={**os.environ, "PYTHONHASHSEED": "77"},
        check=True,
        capture_output=True,
        text=True,
    )
    images = numbered(9, (2, 5, 5))
    assert json.loads(answer.stdout) == [fingerprint(build(images)) for build in STREAMS]


GOLDEN_LABELS = {
    permuting: [63, 23, 10, 34, 81, 95, 76, 40],
    rotating: [87, 8, 74, 93, 77, 28, 9, 81],
    incremental: [43, 96, 48, 66, 59, 98, 39, 82],
}


@every_stream
def test_the_order_of_the_samples_never_changes(build, numbered):
    stream = build(numbered(100), batch_size=8)
    assert stream.train_batch(13)[1].tolist() == GOLDEN_LABELS[build]


@every_stream
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_shows_the_same_samples(build, numbered):
    images = numbered(9, (2, 5, 5))
    on_cpu, on_gpu = build(images), build(images, device="cuda")
    for step in (0, 7, 19, 3):
        samples, labels = on_gpu.train_batch(step)
        assert samples.is_cuda
        assert torch.equal(labels.cpu(), on_cpu.train_batch(step)[1])
        # Permuting and scaling are exact; rotating agrees to the last rounding.
        torch.testing.assert_close(samples.cpu(), on_cpu.train_batch(step)[0], rtol=0, atol=1e-5)


def test_streams_accept_images_of_any_shape(numbered):
    assert isinstance(numbered(6), Images)
    for build in STREAMS:
        for shape in ((1, 1, 1), (3, 2, 7)):
            assert len(build(numbered(6, shape)).train_batch(9)[1]) == 3
