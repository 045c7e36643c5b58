"""From torchvision's files to tensors."""

import tempfile
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor

from psp_data._cache_file import checksum
from psp_data._sets import SETS

# The largest file published, cifar-100-python/train, has 155,249,918 bytes.
LARGEST_FILE = 2**28

# How a download fails for want of a network; RuntimeError is torchvision's "no mirror works".
# Any other OSError is the disk's.
NETWORK_ERRORS = (URLError, HTTPException, ConnectionError, TimeoutError, RuntimeError)


def convert(name: str, root: Path, download: bool) -> dict[str, Tensor]:
    """The images and labels that torchvision reads or downloads.

    Files of torchvision's that lie below `root` are read where they are. A download goes into a
    temporary folder in `root`: one that is cut off leaves nothing that could be taken for whole.

    Args:
        name: A set that has a torchvision class.
        root: The folder of the image sets; made if a download needs it.
        download: Whether to fetch the files if they are not there.

    Returns:
        `train_images` (N, C, H, W) and `test_images`, uint8, with their labels, int64.

    Raises:
        FileNotFoundError: If the files are not there and were not, or could not be, downloaded.
        ValueError: If they are there, but damaged.
    """
    folder = root / SETS[name].folder
    if folder.is_dir():
        _refuse_hostile_files(name, folder)
        try:
            tensors = _read(name, root)
        except Exception as error:  # torchvision says "damaged" in as many ways as it has readers
            raise _damaged(name, folder, str(error)) from error
        if SETS[name].checksum not in ("", checksum(tensors)):
            raise _damaged(name, folder, "the images are not those that were published")
        return tensors
    if not download:
        raise _not_there(name, root, "downloading was not allowed (download=False)")
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=f".{name}-download-") as temporary:
        try:
            return _read(name, Path(temporary), download=True)
        except NETWORK_ERRORS as error:
            raise _not_there(name, root, f"downloading failed ({error})") from error


def _read(name: str, root: Path, *, download: bool = False) -> dict[str, Tensor]:
    import torchvision  # here, since it doubles the time that `import psp_data` takes

    dataset_class = getattr(torchvision.datasets, SETS[name].dataset)
    tensors = {}
    for part, train in (("train", True), ("test", False)):
        dataset = dataset_class(root, train=train, download=download)
        pixels = torch.as_tensor(dataset.data, device="cpu")
        images = pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
        tensors[f"{part}_images"] = images.contiguous()
        tensors[f"{part}_labels"] = torch.as_tensor(
            dataset.targets, dtype=torch.int64, device="cpu"
        )
    return tensors


def _refuse_hostile_files(name: str, folder: Path) -> None:
    """Look at what torchvision would wait for, or read whole, without a question."""
    for file in folder.iterdir():
        if not (file.is_file() or file.is_dir()):
            raise _damaged(name, folder, f"{file.name} is no regular file")
        if file.stat().st_size > LARGEST_FILE:
            raise _damaged(name, folder, f"{file.name} is larger than any file of a set")


def _not_there(name: str, root: Path, reason: str) -> FileNotFoundError:
    return FileNotFoundError(
        f"load({name!r}): neither {name}.safetensors nor {SETS[name].folder} is in {root}, and "
        f"{' '.join(reason.split())}. Either let it download once on a machine with a network "
        "(download=True), or put one of these two there; root= and $PSP_DATA_DIR choose another "
        "folder."
    )


def _damaged(name: str, folder: Path, reason: str) -> ValueError:
    return ValueError(
        f"load({name!r}): {folder} cannot be used: {' '.join(reason.split())}. Put whole files in "
        "its place, or delete the folder to download them again."
    )
