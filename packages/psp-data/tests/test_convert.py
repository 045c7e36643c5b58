from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision

from psp_data._convert import convert
from psp_data._sets import SETS


def test_mnist_files_of_torchvision_are_read_exactly(monkeypatch, tmp_path, numbered, write_idx):
    write_idx(tmp_path / "MNIST" / "raw")
    monkeypatch.setitem(SETS, "mnist", replace(SETS["mnist"], checksum=""))
    tensors = convert("mnist", tmp_path, download=False)
    assert torch.equal(tensors["train_images"], numbered(6, (1, 28, 28)).train_images)
    assert torch.equal(tensors["test_images"], numbered(4, (1, 28, 28)).train_images)
    assert tensors["train_labels"].tolist() == [0, 1, 2, 3, 4, 5]
    assert tensors["train_labels"].dtype == torch.int64


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_files_with_unpublished_images_raise(tmp_path, numbered, write_idx, name):
    write_idx(tmp_path / SETS[name].folder)
    with pytest.raises(ValueError, match=rf"load\('{name}'\).*differ from the published set"):
        convert(name, tmp_path, download=False)


def test_truncated_files_of_torchvision_raise(tmp_path, numbered, write_idx):
    write_idx(tmp_path / "MNIST" / "raw")
    file = tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"MNIST/raw cannot be used.*delete the folder"):
        convert("mnist", tmp_path, download=False)


def test_cifar_pixels_become_channels_first(monkeypatch, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)

    class Cifar10:
        data = pixels
        targets = (3, 1, 4, 1, 5)

        def __init__(self, root, train, download):
            self.arguments = root, train, download

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", Cifar10)
    (tmp_path / "cifar-10-batches-py").mkdir()
    tensors = convert("cifar10", tmp_path, download=False)
    images = tensors["train_images"]
    assert images.shape == (5, 3, 32, 32)
    assert images.is_contiguous()
    assert images[2, 1, 30, 7] == pixels[2, 30, 7, 1]
    assert tensors["test_labels"].tolist() == [3, 1, 4, 1, 5]


def test_a_missing_file_of_mnist_is_named(tmp_path, write_idx):
    write_idx(tmp_path / "MNIST" / "raw")
    file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    file.rename(file.with_name("train-images.idx3-ubyte"))  # the name that some archives have
    with pytest.raises(ValueError, match="it has no train-images-idx3-ubyte"):
        convert("mnist", tmp_path, download=True)
