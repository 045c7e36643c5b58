"""Every argument of everything public: bad values are refused by name, at the door.

The table says how each callable is called well and which values each argument refuses with which
error. psp_contexts.testing has the same for its siblings; this package stands alone.
"""

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import psp_data
from psp_data import (
    Images,
    IncrementalStream,
    PermutingStream,
    RotatingStream,
    benchmark,
    icifar,
    load,
    preview,
    split,
    split_cifar100,
    split_mnist,
)

pytestmark = pytest.mark.reliability

SOURCE = Path(psp_data.__file__).parent
KINDS = {
    "none": st.none(),
    "flag": st.booleans() | st.just(np.bool_(True)),
    "integer": st.integers() | st.just(np.int64(3)),
    "real": st.floats() | st.just(np.float32(0.5)),
    "complex": st.complex_numbers(),
    "text": st.text(max_size=4),
    "bytes": st.binary(max_size=4),
    "list": st.lists(st.integers() | st.text(max_size=2), max_size=3),
    "mapping": st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    "array": st.sampled_from([np.zeros(2), np.zeros((2, 4), np.int64), np.array(0.5)]),
    "tensor": st.sampled_from([torch.zeros(2), torch.tensor(0.5), torch.tensor(True)]),
    "object": st.builds(object) | st.just(len),
}


def other_than(*kinds):
    return st.one_of([values for kind, values in KINDS.items() if kind not in kinds])


CPU = torch.device("cpu")
PIXELS = torch.arange(12 * 16, dtype=torch.uint8, device=CPU).view(12, 1, 4, 4)
LABELS = torch.arange(12, device=CPU) % 4
IMAGES = Images("some", PIXELS, LABELS, PIXELS[:5], LABELS[:5])
PERMUTING = PermutingStream(IMAGES, 3, batch_size=4, steps_per_task=5)
ROTATING = RotatingStream(IMAGES, period=20, batch_size=4)
INCREMENTAL = IncrementalStream([(IMAGES, [0, 1]), (IMAGES, [3, 2])], batch_size=4)
STREAMS = [PERMUTING, ROTATING, INCREMENTAL]
HUGE = st.just(10**30) | st.integers(min_value=2**64)

NO_INTEGER = {TypeError: other_than("integer")}
COUNT = {**NO_INTEGER, ValueError: st.integers(max_value=0)}
PARTS = {**NO_INTEGER, ValueError: st.integers(max_value=0) | st.integers(min_value=21)}
BATCH = {**NO_INTEGER, ValueError: st.integers(max_value=0) | st.integers(min_value=13) | HUGE}
SIDE = {**NO_INTEGER, ValueError: st.integers(max_value=0) | st.integers(min_value=10**5) | HUGE}
REAL = {
    TypeError: other_than("integer", "real"),
    ValueError: st.sampled_from([float("nan"), float("inf"), -float("inf"), 10**400]),
}
STD = {**REAL, ValueError: REAL[ValueError] | st.floats(max_value=0)}
FLAG = {TypeError: other_than("flag")}
STEP = {**NO_INTEGER, IndexError: st.integers(max_value=-1)}
STEP_OF_ENDING = {
    **NO_INTEGER,
    IndexError: st.integers(max_value=-1) | st.integers(min_value=3000) | HUGE,
}
TASK = {
    **NO_INTEGER,
    IndexError: st.integers(max_value=-1) | st.integers(min_value=10) | HUGE,
}
TEXT = {TypeError: other_than("text")}
SET = {TypeError: other_than("text"), ValueError: st.text(max_size=4)}
ROOT = {
    TypeError: other_than("none", "text"),
    ValueError: st.sampled_from(["a\0b", "\ud800", "~nobody-of-this-name/data"]),
}
DEVICE = {
    TypeError: other_than("none", "text"),
    ValueError: st.text(max_size=2) | st.sampled_from(["meta", "cuda:99", "gpu", "hpu", "cpu:x"]),
}
IMAGE_SET = {TypeError: other_than() | st.just(Images)}
NO_TENSOR = {TypeError: other_than("tensor")}
NO_PIXELS = {
    **NO_TENSOR,
    ValueError: st.sampled_from(
        [
            PIXELS.float(),
            PIXELS[0],
            PIXELS[:0],
            PIXELS[:, :, :0],
            PIXELS[:3],
            PIXELS[..., :3],
            PIXELS.to("meta"),
            PIXELS.to_sparse(),
        ]
    ),
}
NO_LABELS = {
    **NO_TENSOR,
    ValueError: st.sampled_from(
        [
            LABELS.int(),
            LABELS.float(),
            LABELS[:0],
            LABELS[:3],
            LABELS[:, None],
            LABELS - 1,
            LABELS.to("meta"),
            LABELS.to_sparse(),
        ]
    ),
}
GREY_VALUES = {
    TypeError: other_than("tensor")
    | st.sampled_from([torch.zeros(2, dtype=torch.complex64), torch.zeros(2).bool(), LABELS])
}
SCALED = {
    TypeError: other_than("tensor") | st.sampled_from([torch.zeros(2).cfloat(), PIXELS, LABELS])
}
TASKS = {
    TypeError: other_than("list", "text", "bytes", "mapping", "array", "tensor")
    | st.sampled_from(
        [
            "ab",
            [IMAGES],
            [(IMAGES, 3)],
            [(IMAGES, [0], 1)],
            [(3, [0])],
            [(IMAGES, "01")],
            [(IMAGES, [0.0])],
            [(IMAGES, [True])],
        ]
    ),
    ValueError: st.sampled_from(
        [
            [],
            [(IMAGES, [])],
            [(IMAGES, [0]), (IMAGES, [4])],
            [(IMAGES, [-1])],
            [(IMAGES, [0, 0])],
            [(IMAGES, [10**30])],
            [(IMAGES, range(10**30))],
            [(IMAGES, [0]), (IMAGES.padded(5), [0])],
        ]
    ),
}


def grey(samples):
    wrong = [samples[0], samples[..., :3], samples[None]]
    samples_refused = {**SCALED, ValueError: st.sampled_from(wrong)}
    return lambda: {"samples": samples, "task": 0}, {"samples": samples_refused, "task": TASK}


def preset(function):
    valid = {"root": "/no/such/folder", "download": False}
    refused = {
        "root": ROOT,
        "seed": NO_INTEGER,
        "batch_size": COUNT,
        "steps_per_task": COUNT,
        "download": FLAG,
        "device": DEVICE,
    }
    return function.__name__, [function], lambda: valid, refused


def of_streams(method, valid, refused, streams=STREAMS):
    return [
        (f"{type(stream).__name__}.{method}", [getattr(stream, method)], lambda: valid, refused)
        for stream in streams
    ]


FIXED = {"batch_size": 4, "seed": 1, "device": None}
OPTIONS = {"seed": NO_INTEGER, "batch_size": BATCH, "device": DEVICE}
CALLS = [
    (
        "Images",
        [Images],
        lambda: {
            "name": "some",
            "train_images": PIXELS,
            "train_labels": LABELS,
            "test_images": PIXELS,
            "test_labels": LABELS,
        },
        {
            "name": TEXT,
            "train_images": NO_PIXELS,
            "train_labels": NO_LABELS,
            "test_images": NO_PIXELS,
            "test_labels": NO_LABELS,
            "mean": REAL,
            "std": STD,
        },
    ),
    ("Images.to", [IMAGES.to], dict, {"device": {**DEVICE, TypeError: other_than("text")}}),
    ("Images.scaled", [IMAGES.scaled], dict, {"pixels": GREY_VALUES}),
    ("Images.unscaled", [IMAGES.unscaled], dict, {"scaled": SCALED}),
    ("Images.padded", [IMAGES.padded], dict, {"side": SIDE}),
    ("Images.resized", [IMAGES.resized], dict, {"side": SIDE}),
    (
        "load",
        [load],
        lambda: {"name": "digits"},
        {"name": SET, "root": ROOT, "download": FLAG, "rebuild": FLAG},
    ),
    (
        "PermutingStream",
        [PermutingStream],
        lambda: {"images": IMAGES, **FIXED},
        {"images": IMAGE_SET, "num_tasks": COUNT, "steps_per_task": COUNT, **OPTIONS},
    ),
    (
        "RotatingStream",
        [RotatingStream],
        lambda: {"images": IMAGES, "period": 20, **FIXED},
        {
            "images": IMAGE_SET,
            "period": COUNT,
            "num_contexts": PARTS,
            "num_tasks": PARTS,
            **OPTIONS,
        },
    ),
    (
        "IncrementalStream",
        [IncrementalStream],
        lambda: {"tasks": [(IMAGES, [0, 1])], **FIXED},
        {"tasks": TASKS, "steps_per_task": COUNT, **OPTIONS},
    ),
    *(
        call
        for method in ("train_batch", "task", "context")
        for call in (
            *of_streams(method, {}, {"step": STEP_OF_ENDING}, [PERMUTING, INCREMENTAL]),
            *of_streams(method, {}, {"step": STEP}, [ROTATING]),
        )
    ),
    *of_streams("angle", {}, {"step": STEP}, [ROTATING]),
    *of_streams("test_set_at", {}, {"degrees": REAL}, [ROTATING]),
    *of_streams("first_step", {}, {"task": TASK}),
    *of_streams("test_set", {}, {"task": TASK}),
    ("Stream.test_context", [stream.test_context for stream in STREAMS], dict, {"task": TASK}),
    *of_streams("permutation", {}, {"task": TASK}, [PERMUTING]),
    *of_streams("classes", {}, {"task": TASK}, [INCREMENTAL]),
    ("Stream.grey", [PERMUTING.grey], *grey(torch.zeros(2, 16))),
    ("Stream.grey", [ROTATING.grey, INCREMENTAL.grey], *grey(torch.zeros(2, 1, 4, 4))),
    (
        "preview",
        [preview],
        lambda: {"stream": PERMUTING, "rows": 2},
        {
            "stream": {TypeError: other_than() | st.just(PermutingStream)},
            "steps": {
                TypeError: other_than("none", "list", "text", "bytes", "mapping", "array", "tensor")
                | st.sampled_from(["ab", [0.5], [None], [True], ["0"]]),
                ValueError: st.sampled_from([[], (), [0] * 10**5]),
                IndexError: st.sampled_from([[-1], [0, 15], [10**30], range(10**30)]),
            },
            "rows": {**COUNT, ValueError: COUNT[ValueError] | st.integers(min_value=5) | HUGE},
        },
    ),
    (
        "split",
        [split],
        lambda: {"images": IMAGES, "classes_per_task": 2},
        {
            "images": IMAGE_SET,
            "classes_per_task": {**COUNT, ValueError: COUNT[ValueError] | st.just(3) | HUGE},
        },
    ),
    *map(preset, (icifar, split_cifar100, split_mnist)),
]
REFUSALS = [
    pytest.param(*call, argument, error, values, id=f"{name}-{argument}-{error.__name__}")
    for name, *call, refused in CALLS
    for argument, errors in refused.items()
    for error, values in errors.items()
]


def number_of_cases():
    """For each argument and error: 2, or as the profile has more."""
    return max(2, settings().max_examples // 50)


@pytest.mark.parametrize(("functions", "valid", "argument", "error", "values"), REFUSALS)
def test_bad_arguments_are_refused_by_name(
    functions, valid, argument, error, values, record_property
):
    tried = 0

    @settings(
        max_examples=number_of_cases(),
        # On an ordinary day the same cases each time; when it is to be thorough, new ones.
        derandomize=number_of_cases() < 5,
        deadline=None,
        database=None,
    )
    @given(function=st.sampled_from(functions), value=values)
    def run(function, value):
        nonlocal tried
        tried += 1
        with pytest.raises(error) as caught:
            function(**{**valid(), argument: value})
        assert caught.type is error
        caught.match(rf"(?<!\w){argument}(?!\w)")
        assert SOURCE in Path(str(caught.traceback[-1].path)).parents, "raised deep inside"

    run()
    record_property("bad arguments: psp-data", tried)


def public_callables():
    for public in psp_data.__all__:
        value = getattr(psp_data, public)
        if not isinstance(value, type):
            yield public, value
            continue
        if not inspect.isabstract(value):
            yield public, value
        for name, method in vars(value).items():
            concrete = inspect.isfunction(method) and not hasattr(method, "__isabstractmethod__")
            if concrete and not name.startswith("_"):
                yield f"{public}.{name}", method


def test_every_argument_of_everything_public_is_in_the_table():
    listed = {(name, argument) for name, _, _, refused in CALLS for argument in refused}
    public = {
        (name, argument)
        for name, function in public_callables()
        for argument in inspect.signature(function).parameters
        if argument != "self"
    }
    assert public == listed


@pytest.mark.parametrize("flag", ["--rounds", "--batches"])
def test_numbers_of_the_benchmark_are_refused_by_flag(flag, capsys, record_property):
    tried = 0

    @settings(max_examples=10 * number_of_cases(), deadline=None, database=None)
    @given(
        value=st.integers(max_value=0).map(str) | st.floats().map(str) | st.text("ab ", max_size=3)
    )
    def run(value):
        nonlocal tried
        tried += 1
        with pytest.raises(SystemExit) as caught:
            benchmark.main(["--random", f"{flag}={value}"])
        assert caught.value.code == 2
        assert f"argument {flag}: " in capsys.readouterr().err

    run()
    record_property("bad arguments: psp-data", tried)


def test_a_folder_without_sets_is_refused_by_flag(capsys, monkeypatch, tmp_path):
    def load_without_network(name, root):
        return load(name, root, download=False)

    monkeypatch.setattr(benchmark, "load", load_without_network)
    with pytest.raises(SystemExit):
        benchmark.main(["--root", str(tmp_path)])
    assert f"--root {tmp_path}: load('mnist'): neither" in capsys.readouterr().err


def test_numpy_integers_are_integers():
    two = np.int64(2)
    stream = PermutingStream(IMAGES, np.int32(3), two, batch_size=np.uint8(4), steps_per_task=two)
    expected = PermutingStream(IMAGES, 3, 2, batch_size=4, steps_per_task=2)
    for ours, theirs in zip(stream.train_batch(two), expected.train_batch(2), strict=True):
        assert torch.equal(ours, theirs)
