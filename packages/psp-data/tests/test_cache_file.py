import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from psp_data._cache_file import KEYS, checksum, read_cache_file, write_cache_file
from psp_data._sets import NamedSet

# The same cases in every run, and no deadline, since the machine may be busy.
exact = settings(deadline=None, derandomize=True, database=None, max_examples=25)
KNOWN = NamedSet(0.5, 0.5, image_shape=(3, 2, 4), num_classes=6)


@pytest.fixture(scope="session")
def tensors(numbered):
    images = numbered(6, (3, 2, 4))
    return {key: getattr(images, key) for key in KEYS}


@pytest.fixture(scope="session")
def written(tensors, tmp_path_factory):
    path = tmp_path_factory.mktemp("cache") / "some.safetensors"
    write_cache_file(path, tensors)
    return path


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def copy_with(written, tmp_path_factory, content):
    path = tmp_path_factory.mktemp("copy") / written.name
    path.write_bytes(content)
    return path


def test_written_tensors_are_read_back(written, tensors):
    assert same(read_cache_file(written, KNOWN), tensors)


def test_any_safetensors_reader_can_open_the_file(written, tensors):
    assert same(safetensors.torch.load_file(written), tensors)


def test_the_checksum_covers_contents_and_shapes(tensors):
    changed = tensors["test_labels"].clone()
    changed[3] += 1
    reshaped = tensors["train_images"].view(6, 3, 4, 2)
    sums = {
        checksum(tensors),
        checksum({**tensors, "test_labels": changed}),
        checksum({**tensors, "train_images": reshaped}),
    }
    assert len(sums) == 3


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs a list of memory mappings")
def test_the_images_are_mapped_into_memory(written):
    assert str(written) not in Path("/proc/self/maps").read_text()
    read = read_cache_file(written, KNOWN)
    assert str(written) in Path("/proc/self/maps").read_text()
    assert read["train_images"].shape == (6, 3, 2, 4)


@exact
@given(data=st.data())
def test_a_truncated_file_raises(written, tmp_path_factory, data):
    content = written.read_bytes()
    length = data.draw(st.integers(0, len(content) - 1))
    path = copy_with(written, tmp_path_factory, content[:length])
    with pytest.raises(ValueError, match=r"some\.safetensors cannot be used.*rebuild=True"):
        read_cache_file(path, KNOWN)


@exact
@given(data=st.data())
def test_one_changed_bit_is_always_detected(written, tensors, tmp_path_factory, data):
    content = bytearray(written.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    path = copy_with(written, tmp_path_factory, content)
    try:
        read = read_cache_file(path, KNOWN)
    except ValueError:
        return  # other tests check the message
    assert same(read, tensors)  # for example, if the bit is in the word "checksum"


@pytest.mark.parametrize("key", KEYS)
def test_changed_contents_raise(written, tmp_path_factory, tensors, key):
    content = written.read_bytes()
    start = content.index(tensors[key].numpy().tobytes())
    changed = bytearray(content)
    changed[start] ^= 1
    path = copy_with(written, tmp_path_factory, changed)
    with pytest.raises(ValueError, match="its contents have changed since it was written"):
        read_cache_file(path, KNOWN)


def test_a_file_of_other_software_is_accepted(tmp_path, tensors):
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file(tensors, path)
    assert same(read_cache_file(path, KNOWN), tensors)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"test_labels": None}, "lacks a tensor .*test_labels"),
        ({"train_images": None, "test_images": None}, "lacks a tensor .*train_images"),
        ({"train_images": torch.zeros(6, 1, 2, 2)}, r"train_images must be torch\.uint8"),
        ({"train_images": torch.zeros(6, 2, dtype=torch.uint8)}, r"with 4 dim.*shape \(6, 2\)"),
        ({"test_labels": torch.zeros(6, dtype=torch.int32)}, r"test_labels must be torch\.int64"),
    ],
)
def test_a_file_with_other_tensors_raises(tmp_path, tensors, change, reason):
    path = tmp_path / "other.safetensors"
    changed = {key: tensor for key, tensor in {**tensors, **change}.items() if tensor is not None}
    safetensors.torch.save_file(changed, path)
    with pytest.raises(ValueError, match=reason):
        read_cache_file(path, KNOWN)


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ({"image_shape": (3, 2, 5)}, "its train_images are 3×2×4, but the published ones 3×2×5"),
        ({"num_classes": 5}, r"its train_labels are 0\.\.5, but the published ones 0\.\.4"),
        ({"checksum": "00000000"}, "its contents differ from the published set"),
    ],
)
@pytest.mark.parametrize(
    "write", [write_cache_file, lambda path, t: safetensors.torch.save_file(t, path)]
)
def test_a_file_of_another_set_raises(tmp_path, tensors, write, known, reason):
    path = tmp_path / "some.safetensors"
    write(path, tensors)
    with pytest.raises(ValueError, match=rf"some\.safetensors cannot be used: {reason}.*rebuild="):
        read_cache_file(path, replace(KNOWN, **known))
    published = replace(KNOWN, checksum=checksum(tensors))
    assert same(read_cache_file(path, published), tensors)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"test_labels": torch.arange(5)}, "it has 6 test_images and 5 test_labels"),
        (
            {"train_images": torch.zeros(0, 3, 2, 4).byte(), "train_labels": torch.arange(0)},
            "it has 0 train_images",
        ),
        ({"test_labels": torch.arange(6) - 1}, r"its test_labels are -1\.\.4"),
    ],
)
def test_a_file_whose_labels_do_not_fit_raises(tmp_path, tensors, change, reason):
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({**tensors, **change}, path)
    with pytest.raises(ValueError, match=reason):
        read_cache_file(path, KNOWN)


def test_a_file_of_some_classes_is_accepted(tmp_path, tensors):
    path = tmp_path / "part.safetensors"
    part = {key: tensor[2:5] for key, tensor in tensors.items()}
    safetensors.torch.save_file(part, path)
    assert same(read_cache_file(path, KNOWN), part)


def test_a_reader_never_sees_a_partial_file(monkeypatch, tmp_path, tensors):
    path = tmp_path / "some.safetensors"
    existed_at_fsync = []
    monkeypatch.setattr(os, "fsync", lambda _: existed_at_fsync.append(path.exists()))
    write_cache_file(path, tensors)
    assert existed_at_fsync == [False]  # all bytes were written under another name
    assert os.listdir(tmp_path) == [path.name]


def test_a_reader_keeps_the_old_tensors_when_the_file_is_replaced(tmp_path, tensors, numbered):
    path = tmp_path / "some.safetensors"
    write_cache_file(path, tensors)
    old = read_cache_file(path, KNOWN)
    other = numbered(6, (3, 2, 4), seed=5)
    write_cache_file(path, {key: getattr(other, key) for key in KEYS})
    assert same(old, tensors)
    assert not same(read_cache_file(path, KNOWN), tensors)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_failed_write_leaves_the_folder_unchanged(monkeypatch, tmp_path, tensors, number):
    path = tmp_path / "some.safetensors"
    path.write_bytes(b"old contents")

    def fail(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"\[Errno") as caught:
        write_cache_file(path, tensors)
    assert caught.value.errno == number
    assert os.listdir(tmp_path) == [path.name]
    assert path.read_bytes() == b"old contents"
