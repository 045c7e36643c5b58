import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from psp_data._cache_file import (
    KEYS,
    checksum,
    naming_the_folder,
    read_cache_file,
    write_cache_file,
)
from psp_data._sets import NamedSet

# The machine may be busy, and a failure should be that of the change and not of the day.
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


def test_what_was_written_is_read(written, tensors):
    assert same(read_cache_file(written, KNOWN), tensors)


def test_any_safetensors_reader_can_open_it(written, tensors):
    assert same(safetensors.torch.load_file(written), tensors)


def test_the_checksum_sees_contents_and_shapes(tensors):
    changed = tensors["test_labels"].clone()
    changed[3] += 1
    reshaped = tensors["train_images"].view(6, 3, 4, 2)
    sums = {
        checksum(tensors),
        checksum({**tensors, "test_labels": changed}),
        checksum({**tensors, "train_images": reshaped}),
    }
    assert len(sums) == 3


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="there is no list of mappings")
def test_the_images_are_mapped_into_memory(written):
    assert str(written) not in Path("/proc/self/maps").read_text()
    read = read_cache_file(written, KNOWN)
    assert str(written) in Path("/proc/self/maps").read_text()
    assert read["train_images"].shape == (6, 3, 2, 4)


@exact
@given(data=st.data())
def test_a_file_that_is_cut_short_is_refused(written, tmp_path_factory, data):
    content = written.read_bytes()
    length = data.draw(st.integers(0, len(content) - 1))
    path = copy_with(written, tmp_path_factory, content[:length])
    with pytest.raises(ValueError, match=r"some\.safetensors cannot be used.*rebuild=True"):
        read_cache_file(path, KNOWN)


@exact
@given(data=st.data())
def test_one_changed_bit_never_goes_unnoticed(written, tensors, tmp_path_factory, data):
    content = bytearray(written.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    path = copy_with(written, tmp_path_factory, content)
    try:
        read = read_cache_file(path, KNOWN)
    except ValueError:
        return  # refused; other tests look at the words
    assert same(read, tensors)  # as when the bit is in the word "checksum"


@pytest.mark.parametrize("key", KEYS)
def test_changed_contents_are_named_and_refused(written, tmp_path_factory, tensors, key):
    content = written.read_bytes()
    found = content.index(tensors[key].numpy().tobytes())
    changed = bytearray(content)
    changed[found] ^= 1
    path = copy_with(written, tmp_path_factory, changed)
    with pytest.raises(ValueError, match="its contents have changed since it was written"):
        read_cache_file(path, KNOWN)


def test_a_file_of_other_software_is_used_as_it_is(tmp_path, tensors):
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file(tensors, path)
    assert same(read_cache_file(path, KNOWN), tensors)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"test_labels": None}, "it has no test_labels"),
        ({"train_images": None, "test_images": None}, "no test_images and no train_images"),
        ({"train_images": torch.zeros(6, 1, 2, 2)}, r"train_images should be torch\.uint8"),
        ({"train_images": torch.zeros(6, 2, dtype=torch.uint8)}, r"with 4 dim.*shape \(6, 2\)"),
        ({"test_labels": torch.zeros(6, dtype=torch.int32)}, r"test_labels should be torch\.int64"),
    ],
)
def test_a_file_of_other_tensors_is_refused(tmp_path, tensors, change, reason):
    path = tmp_path / "other.safetensors"
    kept = {k: v for k, v in {**tensors, **change}.items() if v is not None}
    safetensors.torch.save_file(kept, path)
    with pytest.raises(ValueError, match=reason):
        read_cache_file(path, KNOWN)


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ({"image_shape": (3, 2, 5)}, "its train_images are of 3×2×4, but those published of 3×2×5"),
        ({"num_classes": 5}, r"its train_labels are 0\.\.5, but those published 0\.\.4"),
        ({"checksum": "00000000"}, "its contents are not those that were published"),
    ],
)
@pytest.mark.parametrize(
    "write", [write_cache_file, lambda path, t: safetensors.torch.save_file(t, path)]
)
def test_a_file_of_another_set_is_refused(tmp_path, tensors, write, known, reason):
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
def test_a_file_of_labels_that_do_not_fit_is_refused(tmp_path, tensors, change, reason):
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({**tensors, **change}, path)
    with pytest.raises(ValueError, match=reason):
        read_cache_file(path, KNOWN)


def test_a_file_of_some_classes_is_used(tmp_path, tensors):
    path = tmp_path / "part.safetensors"
    part = {key: tensor[2:5] for key, tensor in tensors.items()}
    safetensors.torch.save_file(part, path)
    assert same(read_cache_file(path, KNOWN), part)


def test_a_reader_never_sees_a_part(monkeypatch, tmp_path, tensors):
    path = tmp_path / "some.safetensors"
    seen = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append(path.exists()))
    write_cache_file(path, tensors)
    assert seen == [False]  # all bytes were written while the name was still free
    assert os.listdir(tmp_path) == [path.name]


def test_a_reader_keeps_the_old_file_while_it_is_replaced(tmp_path, tensors, numbered):
    path = tmp_path / "some.safetensors"
    write_cache_file(path, tensors)
    old = read_cache_file(path, KNOWN)
    other = numbered(6, (3, 2, 4), seed=5)
    write_cache_file(path, {key: getattr(other, key) for key in KEYS})
    assert same(old, tensors)
    assert not same(read_cache_file(path, KNOWN), tensors)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_write_that_fails_leaves_the_folder_as_it_was(monkeypatch, tmp_path, tensors, number):
    path = tmp_path / "some.safetensors"
    path.write_bytes(b"what was there")

    def fail(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"\[Errno") as caught:
        write_cache_file(path, tensors)
    assert caught.value.errno == number
    assert os.listdir(tmp_path) == [path.name]
    assert path.read_bytes() == b"what was there"


def test_a_full_disk_is_called_by_its_name(tmp_path):
    with (
        pytest.raises(OSError, match=r"load\('some'\): the disk that holds .* is full") as caught,
        naming_the_folder("some", tmp_path),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.errno == errno.ENOSPC


def test_other_failures_keep_their_kind_and_words_and_name_the_set_and_the_folder(tmp_path):
    with pytest.raises(PermissionError, match=r"Permission denied: x\).*root=") as caught:
        with naming_the_folder("some", tmp_path):
            raise PermissionError(errno.EACCES, "Permission denied", "x")
    assert f"load('some'): {tmp_path} cannot be used" in str(caught.value)
    with pytest.raises(OSError, match=r"Input/output error\)"), naming_the_folder("some", tmp_path):
        raise OSError(errno.EIO, "Input/output error")
    with pytest.raises(FileNotFoundError, match=r"^of our own$"):
        with naming_the_folder("some", tmp_path):
            raise FileNotFoundError("of our own")
