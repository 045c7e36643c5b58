import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from hypothesis import settings

from psp_data import Images, load
from psp_data._sets import SETS

# `pytest --hypothesis-profile=thorough` runs many more cases in tests that do not set a number.
settings.register_profile("thorough", max_examples=2000, deadline=None)


def numbered_images(count: int, shape: tuple[int, int, int] = (1, 4, 4), seed: int = 0) -> Images:
    """Return random pixels; the label of an image is its row, so a batch shows what was drawn."""
    generator = torch.Generator().manual_seed(seed)
    with torch.device("cpu"):  # the default device may be another
        train = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=generator)
        test = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=generator)
        return Images("numbered", train, torch.arange(count), test, torch.arange(count))


@pytest.fixture(scope="session", name="numbered")
def numbered_fixture() -> Callable[..., Images]:
    return numbered_images


def write_idx(folder: Path) -> None:
    """Write 6 train and 4 test images of 28×28 pixels in the format of MNIST's own files."""
    folder.mkdir(parents=True)
    for stem, count in (("train", 6), ("t10k", 4)):
        images = numbered_images(count, (1, 28, 28))
        header = struct.pack(">IIII", 2051, count, 28, 28)
        pixels = images.train_images.numpy().tobytes()
        (folder / f"{stem}-images-idx3-ubyte").write_bytes(header + pixels)
        labels = images.train_labels.to(torch.uint8).numpy().tobytes()
        header = struct.pack(">II", 2049, count)
        (folder / f"{stem}-labels-idx1-ubyte").write_bytes(header + labels)


@pytest.fixture(scope="session", name="write_idx")
def write_idx_fixture() -> Callable[[Path], None]:
    return write_idx


class StandIn:
    """A torchvision data set with one file and a network that can be down."""

    downloads = 0
    network_error: Exception | None = None

    def __init__(self, root: Path, train: bool, download: bool) -> None:
        file = Path(root) / "MNIST" / "raw" / "images"
        if download and not file.exists():
            type(self).downloads += 1
            file.parent.mkdir(parents=True)
            if self.network_error is not None:
                file.write_bytes(b"partial")
                raise self.network_error
            file.write_bytes(b"complete")
        if not file.exists() or file.read_bytes() != b"complete":
            raise RuntimeError("Dataset not found. You can use download=True to download it")
        images = numbered_images(12 if train else 5, seed=int(train))
        self.data = images.train_images[:, 0]
        self.targets = images.train_labels


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> type[StandIn]:
    """Replace torchvision's MNIST by a small stand-in."""
    fresh = type("MNIST", (StandIn,), {})
    monkeypatch.setattr(torchvision.datasets, "MNIST", fresh)
    known = replace(SETS["mnist"], image_shape=(1, 4, 4), num_classes=12, checksum="")
    monkeypatch.setitem(SETS, "mnist", known)
    return fresh


@pytest.fixture(scope="session")
def real_images() -> Callable[[str], Images]:
    """Load a real set from $PSP_DATA_DIR; skip the test if it is not there."""

    def load_or_skip(name: str) -> Images:
        root = Path(os.environ.get("PSP_DATA_DIR") or "no such folder")
        if not ((root / f"{name}.safetensors").exists() or (root / SETS[name].folder).is_dir()):
            pytest.skip(f"$PSP_DATA_DIR does not hold {name}")
        return load(name, root, download=False)

    return load_or_skip
