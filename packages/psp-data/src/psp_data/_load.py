"""Loading of named image sets."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from psp_data._cache_file import read_cache_file, write_cache_file
from psp_data._convert import convert
from psp_data._digits import read_digits
from psp_data._images import Images
from psp_data._sets import SETS


def load(
    name: str,
    root: str | os.PathLike[str] | None = None,
    download: bool = True,
    *,
    rebuild: bool = False,
) -> Images:
    """Return a named image set.

    The first use converts torchvision's files into `<root>/<name>.safetensors`; later uses map
    that file into memory. A file of that name that other software wrote is accepted if it holds
    intact images of the set. The digits need no file.

    Args:
        name: "digits", "mnist", "fashion_mnist", "cifar10" or "cifar100".
        root: Folder of the image sets; by default `$PSP_DATA_DIR`, else the user's cache folder.
        download: Let torchvision download missing files.
        rebuild: Convert torchvision's files again, even if `<name>.safetensors` exists.

    Returns:
        The images on the CPU, with the scale that the paper uses.

    Raises:
        ValueError: If there is no such set, or its file is damaged or holds another set. The
            file is kept; `rebuild=True` replaces it.
        FileNotFoundError: If the set is missing and cannot or may not be downloaded.
        OSError: If the disk is full or the folder cannot be used. No partial file is left.

    Example:
        >>> from psp_data import load
        >>> load("digits")
        Images('digits': 1437 train and 360 test images of shape (1, 8, 8), 10 classes, on cpu)
    """
    if name not in SETS:
        raise ValueError(f"load({name!r}): unknown image set; choose one of {', '.join(SETS)}.")
    named_set = SETS[name]
    if not named_set.dataset:
        return Images(name, **read_digits(), mean=named_set.mean, std=named_set.std)
    folder = root or os.environ.get("PSP_DATA_DIR") or platformdirs.user_cache_path("psp-data")
    folder = Path(folder).expanduser()
    path = folder / f"{name}.safetensors"
    with explain_os_errors(name, folder):
        if rebuild or not path.exists():
            write_cache_file(path, convert(name, folder, download))
        tensors = read_cache_file(path, named_set)
    return Images(name, **tensors, mean=named_set.mean, std=named_set.std)


@contextmanager
def explain_os_errors(name: str, root: Path) -> Iterator[None]:
    """Add the name of the set, the folder and a remedy to errors of the operating system."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # raised by this package, with its own explanation
            raise
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = f"the disk of {root} is full; no partial file is left. Free some space"
        else:
            file = f": {error.filename}" if error.filename else ""
            reason = f"{root} cannot be used ({error.strerror}{file}). Correct this"
        raise OSError(
            error.errno,
            f"load({name!r}): {reason}, or choose another folder with root= or $PSP_DATA_DIR",
        ) from error
