"""Named image sets."""

import os
from pathlib import Path

import platformdirs

from psp_data._arguments import check_type, checked_flag
from psp_data._cache_file import naming_the_folder, read_cache_file, write_cache_file
from psp_data._convert import convert
from psp_data._digits import read_digits
from psp_data._images import Images
from psp_data._sets import SETS, NamedSet


def load(
    name: str,
    root: str | os.PathLike[str] | None = None,
    download: bool = True,
    *,
    rebuild: bool = False,
) -> Images:
    """A named image set, whole.

    The first use converts torchvision's files into `<root>/<name>.safetensors`; later uses map
    that file into memory. A file of that name that is already there is used as it is, if it is
    whole and holds images of the set. The digits need no file.

    Args:
        name: "digits", "mnist", "fashion_mnist", "cifar10" or "cifar100".
        root: The folder of the image sets; `$PSP_DATA_DIR` unless given, else the user's cache
            folder.
        download: Whether torchvision may fetch files that are not there.
        rebuild: Convert torchvision's files again, even if `<name>.safetensors` is there.

    Returns:
        The images on the CPU, scaled as the paper scales them.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If there is no such set, no such folder can be, or the file is damaged or
            holds another set. Such a file stays as it is; `rebuild=True` replaces it.
        FileNotFoundError: If the set is not there and was not, or could not be, downloaded.
        OSError: If the disk is full, or the folder cannot be used; nothing is left behind.

    Example:
        >>> from psp_data import load
        >>> load("digits")
        Images('digits': 1437 train and 360 test images of shape (1, 8, 8), 10 classes, on cpu)
    """
    known, folder = checked_set(name), checked_folder(root)
    checked_flag("download", download)
    checked_flag("rebuild", rebuild)
    if not known.dataset:
        return Images(name, **read_digits(), mean=known.mean, std=known.std)
    path = folder / f"{name}.safetensors"
    with naming_the_folder(name, folder):
        if rebuild or not path.exists():
            write_cache_file(path, convert(name, folder, download))
        tensors = read_cache_file(path, known)
    return Images(name, **tensors, mean=known.mean, std=known.std)


def checked_set(name: str) -> NamedSet:
    """What is known of a set, if there is one of that name."""
    check_type("name", name, str, "the name of a set")
    if name not in SETS:
        raise ValueError(
            f"load({name!r}): name is that of no set there is; choose from {', '.join(SETS)}."
        )
    return SETS[name]


def checked_folder(root: str | os.PathLike[str] | None) -> Path:
    """The folder of the image sets, there or not, if a folder can have that name."""
    if root is not None:
        check_type("root", root, (str, os.PathLike), "a path")
    chosen = root or os.environ.get("PSP_DATA_DIR") or platformdirs.user_cache_path("psp-data")
    try:
        folder = Path(chosen).expanduser()
        if b"\0" in os.fsencode(folder):
            raise ValueError("it has a null byte")
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"root={str(chosen)!r} is no path ({error}); choose another folder with root= or "
            "$PSP_DATA_DIR."
        ) from error
    return folder
