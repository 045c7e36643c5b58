import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import platformdirs
import pytest
import safetensors.torch
import torch

from psp_data import load
from psp_data._cache_file import KEYS
from psp_data._sets import SETS


@pytest.fixture
def online(stand_in, tmp_path):
    """A folder that holds the set after a first use."""
    load("mnist", tmp_path)
    return tmp_path


def test_the_first_use_converts_and_leaves_one_file(stand_in, tmp_path, numbered):
    images = load("mnist", tmp_path)
    assert os.listdir(tmp_path) == ["mnist.safetensors"]
    assert torch.equal(images.train_images, numbered(12, seed=1).train_images)
    assert torch.equal(images.test_labels, numbered(5).train_labels)


def test_later_uses_need_neither_torchvision_nor_a_network(stand_in, online):
    load("mnist", online)
    load("mnist", online, download=False)
    assert stand_in.downloads == 1


def test_the_folder_is_made_if_a_download_needs_it(stand_in, tmp_path):
    load("mnist", tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "mnist.safetensors").exists()


def test_files_of_torchvision_that_are_there_are_used(stand_in, tmp_path):
    stand_in(tmp_path, train=True, download=True)
    load("mnist", tmp_path, download=False)
    assert stand_in.downloads == 1
    assert sorted(os.listdir(tmp_path)) == ["MNIST", "mnist.safetensors"]


def test_the_folder_is_that_of_the_environment_unless_given(
    monkeypatch, stand_in, tmp_path, online
):
    monkeypatch.setenv("PSP_DATA_DIR", str(online))
    assert load("mnist", download=False).name == "mnist"
    with pytest.raises(FileNotFoundError, match="elsewhere"):
        load("mnist", tmp_path / "elsewhere", download=False)


def test_without_environment_the_folder_is_the_cache_of_the_user(monkeypatch, stand_in, tmp_path):
    monkeypatch.delenv("PSP_DATA_DIR", raising=False)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / name)
    load("mnist")
    assert (tmp_path / "psp-data" / "mnist.safetensors").exists()


@pytest.mark.parametrize(
    ("download", "network_error", "reason"),
    [
        (False, None, r"downloading was not allowed \(download=False\)"),
        (True, RuntimeError("Error downloading images"), "failed .Error downloading images"),
        (True, URLError("no route to host"), "downloading failed .*no route to host"),
        (True, ConnectionResetError(errno.ECONNRESET, "reset by peer"), "failed .*reset by peer"),
        (True, TimeoutError("timed out"), "downloading failed .timed out"),
    ],
)
def test_offline_one_error_names_the_set_the_folder_and_two_ways_out(
    monkeypatch, stand_in, tmp_path, download, network_error, reason
):
    monkeypatch.setattr(stand_in, "network_error", network_error)
    with pytest.raises(FileNotFoundError, match=reason) as caught:
        load("mnist", tmp_path, download=download)
    message = str(caught.value)
    assert message.startswith("load('mnist'): neither mnist.safetensors nor MNIST/raw is in")
    assert str(tmp_path) in message
    assert "Either let it download once on a machine with a network" in message
    assert "or put one of these two there" in message
    assert os.listdir(tmp_path) == []  # nothing that could be taken for a whole file


def test_a_look_without_download_makes_no_folder(stand_in, tmp_path):
    with pytest.raises(FileNotFoundError):
        load("mnist", tmp_path / "missing", download=False)
    assert os.listdir(tmp_path) == []


def test_a_damaged_file_stays_until_a_rebuild_is_asked_for(stand_in, online):
    path = online / "mnist.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    for _ in range(2):
        with pytest.raises(ValueError, match=r"mnist\.safetensors cannot be used: it is cut short"):
            load("mnist", online)
    assert path.read_bytes() == whole[:-1]
    load("mnist", online, rebuild=True)
    assert safetensors.torch.load_file(path).keys() == safetensors.torch.load(whole).keys()
    for key, tensor in safetensors.torch.load_file(path).items():
        assert torch.equal(tensor, safetensors.torch.load(whole)[key])


def test_a_rebuild_that_fails_leaves_the_file(stand_in, online):
    before = (online / "mnist.safetensors").read_bytes()
    with pytest.raises(FileNotFoundError, match="download=False"):
        load("mnist", online, download=False, rebuild=True)
    assert (online / "mnist.safetensors").read_bytes() == before


def test_a_disk_that_fills_up_while_downloading_is_named(monkeypatch, stand_in, tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(stand_in, "network_error", full)
    with pytest.raises(OSError, match="is full; nothing was left there"):
        load("mnist", tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_disk_that_fills_up_while_writing_is_named(monkeypatch, stand_in, tmp_path):
    def fail(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"load\('mnist'\): the disk that holds .* is full"):
        load("mnist", tmp_path)
    assert os.listdir(tmp_path) == []


def test_damaged_files_of_torchvision_are_named(stand_in, tmp_path):
    stand_in(tmp_path, train=True, download=True)
    (tmp_path / "MNIST" / "raw" / "images").write_bytes(b"who")
    with pytest.raises(ValueError, match=r"MNIST/raw cannot be used: Dataset not found"):
        load("mnist", tmp_path)
    assert os.listdir(tmp_path) == ["MNIST"]


def test_a_second_process_may_finish_first(monkeypatch, stand_in, tmp_path):
    fsync, others = os.fsync, []

    def load_meanwhile(file):
        if not others:
            others.append("on its way")
            others.append(load("mnist", tmp_path))
        fsync(file)

    monkeypatch.setattr(os, "fsync", load_meanwhile)
    images = load("mnist", tmp_path)
    assert torch.equal(images.train_images, others[1].train_images)
    assert os.listdir(tmp_path) == ["mnist.safetensors"]


def test_two_processes_that_build_at_once_both_succeed(tmp_path):
    program = (
        "import runpy, sys, time, pytest, psp_data\n"
        "from pathlib import Path\n"
        "conftest, root = runpy.run_path(sys.argv[1]), Path(sys.argv[2])\n"
        "patch = pytest.MonkeyPatch()\n"
        "conftest['stand_in'].__wrapped__(patch)\n"
        "(root / sys.argv[3]).touch()\n"
        "while not ((root / '0').exists() and (root / '1').exists()): time.sleep(0.001)\n"
        "for _ in range(20): print(psp_data.load('mnist', root, rebuild=True))\n"
    )
    conftest = Path(__file__).with_name("conftest.py")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(conftest), str(tmp_path), number],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in "01"
    ]
    answers = [process.communicate()[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert [len(answer) for answer in answers] == [20, 20]
    assert len({line for answer in answers for line in answer}) == 1
    assert sorted(os.listdir(tmp_path)) == ["0", "1", "mnist.safetensors"]


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_a_file_of_another_set_is_refused(tmp_path, name):
    digits = load("digits")
    tensors = {key: getattr(digits, key) for key in KEYS}
    safetensors.torch.save_file(tensors, tmp_path / f"{name}.safetensors")
    with pytest.raises(ValueError, match=rf"{name}\.safetensors cannot be used: .*1×8×8.*rebuild="):
        load(name, tmp_path)


def test_images_that_only_look_like_mnist_are_refused(tmp_path, numbered):
    images = numbered(10, (1, 28, 28))
    tensors = {key: getattr(images, key) for key in KEYS}
    safetensors.torch.save_file(tensors, tmp_path / "mnist.safetensors")
    with pytest.raises(ValueError, match="not those that were published"):
        load("mnist", tmp_path)


def test_a_part_of_cifar100_is_used(monkeypatch, tmp_path, numbered):
    monkeypatch.setitem(SETS, "cifar100", replace(SETS["cifar100"], per_class=(1, 1)))
    images = numbered(40, (3, 32, 32))
    tensors = {key: getattr(images, key) for key in KEYS}
    for part in ("train_labels", "test_labels"):
        tensors[part] = tensors[part] + 10
    safetensors.torch.save_file(tensors, tmp_path / "cifar100.safetensors")
    assert load("cifar100", tmp_path).classes == tuple(range(10, 50))


def test_a_folder_that_cannot_be_used_is_named_with_the_ways_out(stand_in, tmp_path):
    file, inside = tmp_path / "file", tmp_path / "file" / "inside"
    file.touch()
    (tmp_path / "mnist.safetensors").mkdir()
    for root, kind in (
        (file, FileExistsError),
        (inside, NotADirectoryError),
        (tmp_path, IsADirectoryError),
    ):
        with pytest.raises(
            kind, match=r"load\('mnist'\): .* cannot be used.*root= or \$PSP"
        ) as caught:
            load("mnist", root)
        assert str(root) in str(caught.value)


def test_a_default_device_plays_no_part(stand_in, tmp_path):
    for _ in range(2):  # converts, then reads
        with torch.device("meta"):
            images = load("mnist", tmp_path)
        assert torch.equal(images.train_images, load("mnist", tmp_path).train_images)
    with torch.device("meta"):
        digits = load("digits")
    assert torch.equal(digits.train_images, load("digits").train_images)


def test_an_unknown_set_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"load\('mnits'\).*choose from digits, mnist, fashion_"):
        load("mnits")
