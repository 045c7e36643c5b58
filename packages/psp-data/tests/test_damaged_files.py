"""Damaged and hostile files raise an error that names them, or are read as they were written."""

import hashlib
import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st

from psp_data import load
from psp_data._cache_file import KEYS, checksum, read_cache_file, write_cache_file
from psp_data._convert import convert
from psp_data._sets import SETS, NamedSet

pytestmark = pytest.mark.reliability

KNOWN = NamedSet(0.5, 0.5, image_shape=(3, 2, 4), num_classes=6)


def fuzz(record_property, label, values, check):
    """Check a quarter as many values as the profile sets."""
    tried = 0
    count = settings().max_examples // 4

    @settings(max_examples=count, derandomize=count < 100, deadline=None, database=None)
    @given(value=values)
    def run(value):
        nonlocal tried
        tried += 1
        check(value)

    run()
    record_property(f"damaged files: {label}", tried)


@st.composite
def damaged(draw, content):
    """Draw a truncated, overwritten, shortened, duplicated or extended version of the content."""
    length = len(content)
    start, stop = sorted((draw(st.integers(0, length)), draw(st.integers(0, length))))
    inserted = draw(st.binary(min_size=1, max_size=12))
    return draw(
        st.sampled_from(
            [
                content[:start],
                content[:start] + inserted + content[start + len(inserted) :],
                content[:start] + inserted + content[start:],
                content[:start] + content[stop:],
                content[:stop] + content[start:],
                content[:start] + bytes(stop - start) + content[stop:],
                content + inserted,
            ]
        )
    )


@st.composite
def hostile(draw, content):
    """Draw the same data under another header, well formed or not."""
    size = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    sizes = st.integers(-1, 2**65) | st.sampled_from([0, 1, 6, 2**31, 2**63, 10**30])
    key = draw(st.sampled_from([*KEYS, "__metadata__"]))
    entry = header[key]
    change = draw(st.sampled_from(["length", "offsets", "shape", "dtype", "swap", "twice", "deep"]))
    length = None
    if change == "length":
        length = draw(st.integers(0, 2**64 - 1) | st.sampled_from([2**64 - 1, 2**27, 10**8]))
    elif change == "swap":
        other = draw(st.sampled_from(KEYS))
        header[key], header[other] = header[other], header[key]
    elif change == "deep":
        header[key] = draw(st.integers(1, 20_000))
    elif change != "twice":
        entry[{"offsets": "data_offsets"}.get(change, change)] = draw(
            st.lists(sizes, max_size=5) | st.sampled_from(["U8", "I64", "F64", "F4", "", None])
        )
    text = json.dumps(header)
    if change == "twice":
        text = text[:-1] + f', "{key}": {json.dumps(header[draw(st.sampled_from(KEYS))])}}}'
    if change == "deep":
        text = text.replace(str(header[key]), "[" * header[key] + "]" * header[key])
    length = len(text.encode()) if length is None else length
    return length.to_bytes(8, "little") + text.encode() + data


@pytest.fixture
def tensors(numbered):
    images = numbered(6, (3, 2, 4))
    return {key: getattr(images, key) for key in KEYS}


def outcome(read, *arguments):
    """Return the tensors, or the message of a ValueError. Any other error fails the test."""
    try:
        return read(*arguments), ""
    except ValueError as error:
        return None, str(error)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("damage", [damaged, hostile])
def test_a_damaged_cache_raises_or_is_read_unchanged(tmp_path, tensors, record_property, damage):
    path = tmp_path / "some.safetensors"
    write_cache_file(path, tensors)

    def check(content):
        path.write_bytes(content)
        read, message = outcome(read_cache_file, path, KNOWN)
        if read is None:
            assert message.startswith(f"{path} cannot be used: ")
            assert "rebuild=True" in message
        else:
            assert same(read, tensors)

    peak_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fuzz(record_property, "image caches", damage(path.read_bytes()), check)
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_before
    assert growth < 200_000, f"{growth} KiB"


@pytest.mark.parametrize("damage", [damaged, hostile])
def test_a_damaged_file_of_other_software_raises_or_has_valid_tensors(
    tmp_path, tensors, record_property, damage
):
    path = tmp_path / "some.safetensors"
    safetensors.torch.save_file(tensors, path, {"by": "others"})

    def check(content):
        path.write_bytes(content)
        read, message = outcome(read_cache_file, path, KNOWN)
        if read is None:
            assert message.startswith(f"{path} cannot be used: ")
        else:
            for part in ("train", "test"):
                images, labels = read[f"{part}_images"], read[f"{part}_labels"]
                assert images.shape == (len(labels), 3, 2, 4)
                assert images.dtype == torch.uint8
                assert set(labels.tolist()) <= set(range(6))

    fuzz(record_property, "image caches", damage(path.read_bytes()), check)


def test_a_header_of_gigabytes_is_not_read(tmp_path):
    path = tmp_path / "some.safetensors"
    with path.open("wb") as file:
        file.write((2**30).to_bytes(8, "little") + b"{")
        file.truncate(2**31)  # a sparse file, which takes no space on the disk
    with pytest.raises(ValueError, match=r"its header claims 1,073,741,824 bytes.*rebuild=True"):
        read_cache_file(path, KNOWN)


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "mnist.safetensors")
    with pytest.raises(ValueError, match="it is not a regular file"):
        load("mnist", tmp_path)
    (tmp_path / "FashionMNIST" / "raw").mkdir(parents=True)
    os.mkfifo(tmp_path / "FashionMNIST" / "raw" / "train-images-idx3-ubyte")
    with pytest.raises(ValueError, match="train-images-idx3-ubyte is not a regular file"):
        load("fashion_mnist", tmp_path)


def test_a_file_of_gigabytes_is_not_given_to_torchvision(tmp_path):
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    with (folder / "train-images-idx3-ubyte").open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(ValueError, match="idx3-ubyte is larger than any file of a set"):
        load("mnist", tmp_path)


def test_a_file_of_a_newer_format_raises(tmp_path, tensors):
    path = tmp_path / "some.safetensors"
    safetensors.torch.save_file(tensors, path, {"format": "2", "checksum": checksum(tensors)})
    with pytest.raises(ValueError, match="this version of psp-data cannot read its format '2'"):
        read_cache_file(path, KNOWN)


def test_a_file_under_the_name_of_another_set_raises(tmp_path, tensors):
    write_cache_file(tmp_path / "some.safetensors", tensors)
    (tmp_path / "some.safetensors").rename(tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other\.safetensors cannot be used: it holds some"):
        read_cache_file(tmp_path / "other.safetensors", KNOWN)


@pytest.mark.parametrize(("name", "other"), [("cifar100", "cifar10"), ("cifar10", "cifar100")])
def test_cifar_under_the_name_of_the_other_set_raises(tmp_path, name, other):
    # The file has no metadata, and its classes occur in both sets.
    labels = {
        part: torch.arange(2).repeat(SETS[other].per_class[part == "test"])
        for part in ("train", "test")
    }
    tensors = {f"{part}_labels": labels_of_part for part, labels_of_part in labels.items()}
    tensors |= {
        f"{part}_images": torch.zeros(len(labels_of_part), 3, 32, 32, dtype=torch.uint8)
        for part, labels_of_part in labels.items()
    }
    path = tmp_path / f"{other}.safetensors"
    safetensors.torch.save_file(tensors, path)
    assert read_cache_file(path, SETS[other]).keys() == tensors.keys()
    with pytest.raises(ValueError, match=r"a class has \d+ train_images, but a published one \d+"):
        read_cache_file(path.rename(tmp_path / f"{name}.safetensors"), SETS[name])


def test_damaged_idx_files_raise_or_are_read_unchanged(
    monkeypatch, tmp_path, write_idx, record_property
):
    folder = tmp_path / "MNIST" / "raw"
    write_idx(folder)
    monkeypatch.setitem(SETS, "mnist", replace(SETS["mnist"], checksum=""))
    tensors = convert("mnist", tmp_path, download=False)
    published = replace(SETS["mnist"], checksum=checksum(tensors))
    monkeypatch.setitem(SETS, "mnist", published)
    intact = {file: file.read_bytes() for file in sorted(folder.iterdir())}
    files = st.sampled_from(list(intact))
    headers = st.binary(min_size=1, max_size=16)

    def check(value):
        file, content = value
        file.write_bytes(content)
        read, message = outcome(convert, "mnist", tmp_path, False)
        file.write_bytes(intact[file])
        if read is None:
            assert message.startswith(f"load('mnist'): {folder} cannot be used: ")
        else:
            assert same(read, tensors)

    def damages(file):
        content = intact[file]
        with_header = headers.map(lambda header: header + content[len(header) :])
        return st.tuples(st.just(file), damaged(content) | with_header)

    fuzz(record_property, "torchvision's files", files.flatmap(damages), check)


class Hostile:
    """An object whose pickle creates a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_only_published_pickles_are_loaded(monkeypatch, tmp_path, record_property):
    folder, proof = tmp_path / "cifar-10-batches-py", tmp_path / "code has run"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("data_batch_1", "test_batch"):
        data = rng.integers(0, 256, (2, 3072), dtype=np.uint8)
        (folder / name).write_bytes(pickle.dumps({"data": data, "labels": [0, 1]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["a", "b"]}))
    intact = {file: file.read_bytes() for file in sorted(folder.iterdir())}
    md5 = {file.name: hashlib.md5(content).hexdigest() for file, content in intact.items()}
    cifar10 = torchvision.datasets.CIFAR10
    monkeypatch.setattr(cifar10, "train_list", [["data_batch_1", md5["data_batch_1"]]])
    monkeypatch.setattr(cifar10, "test_list", [["test_batch", md5["test_batch"]]])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": md5["batches.meta"]}
    monkeypatch.setattr(cifar10, "meta", meta)
    tensors = convert("cifar10", tmp_path, download=False)
    assert tensors["train_images"].shape == (2, 3, 32, 32)

    def check(value):
        file, content = value
        file.write_bytes(content)
        read, message = outcome(convert, "cifar10", tmp_path, False)
        file.write_bytes(intact[file])
        if read is None:
            assert message.startswith(f"load('cifar10'): {folder} cannot be used: ")
        else:
            assert content == intact[file]
            assert same(read, tensors)
        assert not proof.exists()

    hostile_pickle = pickle.dumps(Hostile(proof))
    damages = st.sampled_from(list(intact)).flatmap(
        lambda file: st.tuples(
            st.just(file),
            damaged(intact[file])
            | st.sampled_from([hostile_pickle, hostile_pickle + intact[file]]),
        )
    )
    fuzz(record_property, "torchvision's files", damages, check)
    pickle.loads(hostile_pickle)
    assert proof.exists()  # so the hostile pickle works


WRITE_AND_WAIT = """
import os, sys, time, torch
from pathlib import Path
from psp_data import load
from psp_data._cache_file import KEYS, write_cache_file
fsync = os.fsync
def wait(file):
    print("half way", flush=True)
    time.sleep(60)
os.fsync = wait
digits = load("digits")
write_cache_file(Path(sys.argv[1]), {key: getattr(digits, key) for key in KEYS})
"""


def test_a_later_write_removes_the_files_of_a_killed_process(tmp_path, tensors):
    path = tmp_path / "some.safetensors"
    write_cache_file(path, tensors)
    before = path.read_bytes()
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE_AND_WAIT, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "half way\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (partial,) = set(tmp_path.iterdir()) - {path}
    assert path.read_bytes() == before
    download = tmp_path / ".some-download-x"
    download.mkdir()
    write_cache_file(path, tensors)
    assert {partial, download} < set(tmp_path.iterdir())  # another process may be writing them
    for stale in (partial, download):
        os.utime(stale, (time.time() - 2 * 86400,) * 2)
    write_cache_file(path, tensors)
    assert list(tmp_path.iterdir()) == [path]


DISKS = {
    "size=8k": "is full; no partial file is left. Free some space",
    "ro": "cannot be used (Read-only file system",
}
RUN_ON_DISKS = """
for options in size=8k ro; do
    mkdir "$0/$options"
    mount -t tmpfs -o size=1m none "$0/$options"
    cp "$0"/old/* "$0/$options"
    mount -o "remount,$options" "$0/$options"
done
"$@"
for options in size=8k ro; do cd "$0/$options" && sha256sum $(ls -A); done
"""
REBUILD = """
import runpy, sys, pytest, psp_data
patch = pytest.MonkeyPatch()
runpy.run_path(sys.argv[1])["stand_in"].__wrapped__(patch)
for disk in sys.argv[2:]:
    try:
        psp_data.load("mnist", disk, rebuild=True)
    except OSError as error:
        print(type(error).__name__, error, file=sys.stderr)
"""


def test_a_full_or_read_only_disk_is_named_and_keeps_the_old_file(stand_in, tmp_path):
    unshare = ["unshare", "-rm"]
    try:
        subprocess.run([*unshare, "true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("file systems cannot be mounted here")
    old = tmp_path / "old"
    load("mnist", old)
    (old / "rest").write_bytes(bytes(4096))
    before = [
        f"{hashlib.sha256((old / name).read_bytes()).hexdigest()}  {name}"
        for name in sorted(os.listdir(old))
    ]
    command = [*unshare, "sh", "-c", RUN_ON_DISKS, tmp_path, sys.executable, "-c", REBUILD]
    command += [Path(__file__).with_name("conftest.py"), *(tmp_path / name for name in DISKS)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    for line, (name, reason) in zip(finished.stderr.splitlines(), DISKS.items(), strict=True):
        assert line.startswith("OSError [Errno ")
        assert "load('mnist'): " in line
        assert str(tmp_path / name) in line
        assert reason in line
    assert finished.stdout.splitlines() == 2 * before
