"""Conversion of torchvision's files to tensors."""

import tempfile
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor

from psp_data._cache_file import checksum
from psp_data._sets import SETS

MAX_FILE_BYTES = 2**28
"""The largest published file, cifar-100-python/train, has 155,249,918 bytes."""

# Errors of a download without a network. torchvision raises RuntimeError when no mirror works.
# Any other OSError comes from the disk.
NETWORK_ERRORS = (URLError, HTTPException, ConnectionError, TimeoutError, RuntimeError)


def convert(name: str, root: Path, download: bool) -> dict[str, Tensor]:
    """Return the images and labels of torchvision's files, downloading them if necessary.

    Files that exist below `root` are read in place. A download goes to a temporary folder in
    `root`, so that an interrupted one leaves nothing that looks complete.

    Args:
        name: A set that has a torchvision class.
        root: Folder of the image sets; created if a download needs it.
        download: Download the files if they are missing.

    Returns:
        `train_images` (N, C, H, W) and `test_images`, uint8, with their labels, int64.

    Raises:
        FileNotFoundError: If the files are missing and cannot or may not be downloaded.
        ValueError: If the files are damaged.
    """
    folder = root / SETS[name].folder
    if folder.is_dir():
        _check_files(name, folder)
        absent = [file for file in _published_files(name) if not (folder / file).is_file()]
        if absent:
            raise _damaged(name, folder, f"it has no {', '.join(absent)}")
        try:
            tensors = _read(name, root)
        except Exception as error:  # each torchvision reader reports damage in its own way
            raise _damaged(name, folder, str(error)) from error
        if SETS[name].checksum not in ("", checksum(tensors)):
            raise _damaged(name, folder, "the images differ from the published set")
        return tensors
    if not download:
        raise _missing(name, root, "downloading is not allowed (download=False)")
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=f".{name}-download-") as temporary:
        try:
            return _read(name, Path(temporary), download=True)
        except NETWORK_ERRORS as error:
            raise _missing(name, root, f"the download failed ({error})") from error


def _read(name: str, root: Path, *, download: bool = False) -> dict[str, Tensor]:
    import torchvision  # here, since it doubles the time of `import psp_data`

    dataset_class = getattr(torchvision.datasets, SETS[name].dataset)
    tensors = {}
    for part, train in (("train", True), ("test", False)):
        dataset = dataset_class(root, train=train, download=download)
        pixels = torch.as_tensor(dataset.data, device="cpu")
        images = pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
        labels = torch.as_tensor(dataset.targets, dtype=torch.int64, device="cpu")
        tensors[f"{part}_images"], tensors[f"{part}_labels"] = images.contiguous(), labels
    return tensors


def _published_files(name: str) -> list[str]:
    """Return the names of the files that torchvision reads; it names those of CIFAR itself."""
    import torchvision

    kind = getattr(torchvision.datasets, SETS[name].dataset)
    return [file.removesuffix(".gz") for file, _ in getattr(kind, "resources", ())]


def _check_files(name: str, folder: Path) -> None:
    """Raise ValueError for a file that torchvision would wait for or read without a limit."""
    for file in folder.iterdir():
        if not (file.is_file() or file.is_dir()):
            raise _damaged(name, folder, f"{file.name} is not a regular file")
        if file.stat().st_size > MAX_FILE_BYTES:
            raise _damaged(name, folder, f"{file.name} is larger than any file of a set")


def _missing(name: str, root: Path, reason: str) -> FileNotFoundError:
    return FileNotFoundError(
        f"load({name!r}): neither {name}.safetensors nor {SETS[name].folder} is in {root}, and "
        f"{' '.join(reason.split())}. Run it once on a machine with a network (download=True), or "
        "copy one of these two there; root= and $PSP_DATA_DIR choose another folder."
    )


def _damaged(name: str, folder: Path, reason: str) -> ValueError:
    return ValueError(
        f"load({name!r}): {folder} cannot be used: {' '.join(reason.split())}. Replace its files "
        "with intact ones, or delete the folder to download them again."
    )
