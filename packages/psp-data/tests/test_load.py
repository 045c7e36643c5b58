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
from psp_data._load import explain_os_errors
from psp_data._sets import SETS


@pytest.fixture
def filled(stand_in, tmp_path):
    """Return a folder with the file of a first use."""
    load("mnist", tmp_path)
    return tmp_path


def test_the_first_use_writes_one_file(stand_in, tmp_path, numbered):
    images = load("mnist", tmp_path)
    assert os.listdir(tmp_path) == ["mnist.safetensors"]
    assert torch.equal(images.train_images, numbered(12, seed=1).train_images)
    assert torch.equal(images.test_labels, numbered(5).train_labels)


def test_later_uses_need_neither_torchvision_nor_a_network(stand_in, filled):
    load("mnist", filled)
    load("mnist", filled, download=False)
    assert stand_in.downloads == 1


def test_a_download_creates_the_folder(stand_in, tmp_path):
    load("mnist", tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "mnist.safetensors").exists()


def test_existing_files_of_torchvision_are_used(stand_in, tmp_path):
    stand_in(tmp_path, train=True, download=True)
    load("mnist", tmp_path, download=False)
    assert stand_in.downloads == 1
    assert sorted(os.listdir(tmp_path)) == ["MNIST", "mnist.safetensors"]


def test_the_environment_names_the_default_folder(monkeypatch, stand_in, tmp_path, filled):
    monkeypatch.setenv("PSP_DATA_DIR", str(filled))
    assert load("mnist", download=False).name == "mnist"
    with pytest.raises(FileNotFoundError, match="elsewhere"):
        load("mnist", tmp_path / "elsewhere", download=False)


def test_without_environment_the_default_is_the_cache_folder_of_the_user(
    monkeypatch, stand_in, tmp_path
):
    monkeypatch.delenv("PSP_DATA_DIR", raising=False)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / name)
    load("mnist")
    assert (tmp_path / "psp-data" / "mnist.safetensors").exists()


@pytest.mark.parametrize(
    ("download", "network_error", "reason"),
    [
        (False, None, r"downloading is not allowed \(download=False\)"),
        (
            True,
            RuntimeError("Error downloading images"),
            "download failed .Error downloading images",
        ),
        (True, URLError("no route to host"), "download failed .*no route to host"),
        (
            True,
            ConnectionResetError(errno.ECONNRESET, "reset by peer"),
            "download failed .*reset by peer",
        ),
        (True, TimeoutError("timed out"), "download failed .timed out"),
    ],
)
def test_without_a_network_the_error_names_the_set_the_folder_and_two_remedies(
    monkeypatch, stand_in, tmp_path, download, network_error, reason
):
    monkeypatch.setattr(stand_in, "network_error", network_error)
    with pytest.raises(FileNotFoundError, match=reason) as caught:
        load("mnist", tmp_path, download=download)
    message = str(caught.value)
    assert message.startswith("load('mnist'): neither mnist.safetensors nor MNIST/raw is in")
    assert str(tmp_path) in message
    assert "Run it once on a machine with a network (download=True)" in message
    assert "or copy one of these two there" in message
    assert os.listdir(tmp_path) == []  # nothing that looks complete


def test_no_folder_is_created_without_a_download(stand_in, tmp_path):
    with pytest.raises(FileNotFoundError):
        load("mnist", tmp_path / "missing", download=False)
    assert os.listdir(tmp_path) == []


def test_a_damaged_file_is_kept_until_a_rebuild(stand_in, filled):
    path = filled / "mnist.safetensors"
    intact = path.read_bytes()
    path.write_bytes(intact[:-1])
    for _ in range(2):
        with pytest.raises(ValueError, match=r"mnist\.safetensors cannot be used: it is damaged"):
            load("mnist", filled)
    assert path.read_bytes() == intact[:-1]
    load("mnist", filled, rebuild=True)
    assert safetensors.torch.load_file(path).keys() == safetensors.torch.load(intact).keys()
    for key, tensor in safetensors.torch.load_file(path).items():
        assert torch.equal(tensor, safetensors.torch.load(intact)[key])


def test_a_failed_rebuild_keeps_the_file(stand_in, filled):
    before = (filled / "mnist.safetensors").read_bytes()
    with pytest.raises(FileNotFoundError, match="download=False"):
        load("mnist", filled, download=False, rebuild=True)
    assert (filled / "mnist.safetensors").read_bytes() == before


def test_the_error_names_a_disk_that_fills_up_during_a_download(monkeypatch, stand_in, tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(stand_in, "network_error", full)
    with pytest.raises(OSError, match="is full; no partial file is left"):
        load("mnist", tmp_path)
    assert os.listdir(tmp_path) == []


def test_the_error_names_a_disk_that_fills_up_during_a_write(monkeypatch, stand_in, tmp_path):
    def fail(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"load\('mnist'\): the disk of .* is full"):
        load("mnist", tmp_path)
    assert os.listdir(tmp_path) == []


def test_the_error_names_the_folder_of_damaged_torchvision_files(stand_in, tmp_path):
    stand_in(tmp_path, train=True, download=True)
    (tmp_path / "MNIST" / "raw" / "images").write_bytes(b"who")
    with pytest.raises(ValueError, match=r"MNIST/raw cannot be used: Dataset not found"):
        load("mnist", tmp_path)
    assert os.listdir(tmp_path) == ["MNIST"]


def test_a_second_process_may_finish_first(monkeypatch, stand_in, tmp_path):
    fsync, images_of_second = os.fsync, []

    def load_meanwhile(file):
        if not images_of_second:
            images_of_second.append("loading")
            images_of_second.append(load("mnist", tmp_path))
        fsync(file)

    monkeypatch.setattr(os, "fsync", load_meanwhile)
    images = load("mnist", tmp_path)
    assert torch.equal(images.train_images, images_of_second[1].train_images)
    assert os.listdir(tmp_path) == ["mnist.safetensors"]


def test_two_processes_can_build_the_file_at_once(tmp_path):
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
    outputs = [process.communicate()[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert [len(output) for output in outputs] == [20, 20]
    assert len({line for output in outputs for line in output}) == 1
    assert sorted(os.listdir(tmp_path)) == ["0", "1", "mnist.safetensors"]


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_a_file_of_another_set_raises(tmp_path, name):
    digits = load("digits")
    tensors = {key: getattr(digits, key) for key in KEYS}
    safetensors.torch.save_file(tensors, tmp_path / f"{name}.safetensors")
    with pytest.raises(ValueError, match=rf"{name}\.safetensors cannot be used: .*1×8×8.*rebuild="):
        load(name, tmp_path)


def test_images_that_only_look_like_mnist_raise(tmp_path, numbered):
    images = numbered(10, (1, 28, 28))
    tensors = {key: getattr(images, key) for key in KEYS}
    safetensors.torch.save_file(tensors, tmp_path / "mnist.safetensors")
    with pytest.raises(ValueError, match="differ from the published set"):
        load("mnist", tmp_path)


def test_a_part_of_cifar100_is_accepted(monkeypatch, tmp_path, numbered):
    monkeypatch.setitem(SETS, "cifar100", replace(SETS["cifar100"], per_class=(1, 1)))
    images = numbered(40, (3, 32, 32))
    tensors = {key: getattr(images, key) for key in KEYS}
    for part in ("train_labels", "test_labels"):
        tensors[part] = tensors[part] + 10
    safetensors.torch.save_file(tensors, tmp_path / "cifar100.safetensors")
    assert load("cifar100", tmp_path).classes == tuple(range(10, 50))


def test_the_error_of_an_unusable_folder_names_it_and_the_remedies(stand_in, tmp_path):
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


def test_the_default_device_does_not_matter(stand_in, tmp_path):
    for _ in range(2):  # converts, then reads
        with torch.device("meta"):
            images = load("mnist", tmp_path)
        assert torch.equal(images.train_images, load("mnist", tmp_path).train_images)
    with torch.device("meta"):
        digits = load("digits")
    assert torch.equal(digits.train_images, load("digits").train_images)


def test_the_error_of_an_unknown_set_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"load\('mnits'\): unknown .*choose one of digits, mnist"):
        load("mnits")


def test_the_error_of_a_full_disk_says_so(tmp_path):
    with (
        pytest.raises(OSError, match=r"load\('some'\): the disk of .* is full") as caught,
        explain_os_errors("some", tmp_path),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.errno == errno.ENOSPC


def test_other_os_errors_keep_their_class_and_gain_the_set_and_the_folder(tmp_path):
    with pytest.raises(PermissionError, match=r"Permission denied: x\).*root=") as caught:
        with explain_os_errors("some", tmp_path):
            raise PermissionError(errno.EACCES, "Permission denied", "x")
    assert f"load('some'): {tmp_path} cannot be used" in str(caught.value)
    with pytest.raises(OSError, match=r"Input/output error\)"), explain_os_errors("some", tmp_path):
        raise OSError(errno.EIO, "Input/output error")
    with pytest.raises(FileNotFoundError, match=r"^our message$"):
        with explain_os_errors("some", tmp_path):
            raise FileNotFoundError("our message")
