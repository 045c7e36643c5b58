"""The incremental benchmarks of the literature."""

import os

import torch

from psp_data._arguments import check_type, checked_count, checked_device, checked_integer
from psp_data._images import Images
from psp_data._incremental import IncrementalStream
from psp_data._load import load


def split(images: Images, classes_per_task: int) -> list[tuple[Images, tuple[int, ...]]]:
    """The classes of a set dealt out in order, as tasks for `IncrementalStream`.

    Args:
        images: Any image set.
        classes_per_task: How many classes each task shows; must divide the number of classes
            that the set holds.

    Returns:
        One (images, classes) for each task.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If the classes do not come out even.

    Example:
        >>> from psp_data import load, split
        >>> [classes for _, classes in split(load("digits"), 5)]
        [(0, 1, 2, 3, 4), (5, 6, 7, 8, 9)]
    """
    check_type("images", images, Images, "Images, as load() gives them")
    count = checked_count("classes_per_task", classes_per_task)
    if len(images.classes) % count:
        raise ValueError(
            f"classes_per_task={count} does not divide the {len(images.classes)} classes of "
            f"{images.name}; give IncrementalStream class lists of your own."
        )
    starts = range(0, len(images.classes), count)
    return [(images, images.classes[start : start + count]) for start in starts]


def icifar(
    root: str | os.PathLike[str] | None = None,
    seed: int = 1,
    *,
    batch_size: int = 128,
    steps_per_task: int = 20_000,
    download: bool = True,
    device: torch.device | str | None = None,
) -> IncrementalStream:
    """The paper's incremental CIFAR: CIFAR-10, then four tens of classes of CIFAR-100.

    Tasks 1 to 4 show the classes 10–19, 20–29, 30–39 and 40–49. Pixels are scaled to [−1, 1].

    Args:
        root: Where the image sets are; see `load`.
        seed: Draws the order of the samples.
        batch_size: Samples in a batch.
        steps_per_task: Steps before the next task begins.
        download: Whether sets that are not there may be downloaded.
        device: Where the batches are wanted; by default the CPU.

    Raises:
        FileNotFoundError: If a set is not there and was not, or could not be, downloaded.
        TypeError: If an argument is of another type.
        ValueError: If an argument is out of range, or a set is damaged or lacks classes; the
            message names them.

    Source:
        Cheung et al. 2019, section 4.2, and its authors' code for the classes.
    """
    _check_options(seed, batch_size, steps_per_task, device)
    cifar10, cifar100 = load("cifar10", root, download), load("cifar100", root, download)
    tens = [(cifar100, range(start, start + 10)) for start in (10, 20, 30, 40)]
    return IncrementalStream(
        [(cifar10, range(10)), *tens],
        seed,
        batch_size=batch_size,
        steps_per_task=steps_per_task,
        device=device,
    )


def split_cifar100(
    root: str | os.PathLike[str] | None = None,
    seed: int = 1,
    *,
    batch_size: int = 128,
    steps_per_task: int = 1000,
    download: bool = True,
    device: torch.device | str | None = None,
) -> IncrementalStream:
    """Split-CIFAR-100: ten tasks of ten classes, 0–9 to 90–99, scaled to [−1, 1].

    Args and errors are those of `icifar`. A copy that lacks classes is refused;
    `IncrementalStream(split(load("cifar100"), 10))` makes tasks of those that it has.

    Source:
        Zenke, Poole and Ganguli 2017, Continual Learning Through Synaptic Intelligence.
    """
    _check_options(seed, batch_size, steps_per_task, device)
    images = load("cifar100", root, download)
    return IncrementalStream(
        [(images, range(start, start + 10)) for start in range(0, 100, 10)],
        seed,
        batch_size=batch_size,
        steps_per_task=steps_per_task,
        device=device,
    )


def split_mnist(
    root: str | os.PathLike[str] | None = None,
    seed: int = 1,
    *,
    batch_size: int = 128,
    steps_per_task: int = 1000,
    download: bool = True,
    device: torch.device | str | None = None,
) -> IncrementalStream:
    """Split-MNIST: five tasks of two digits, 0–1 to 8–9, scaled as MNIST is.

    Args and errors are those of `icifar`.

    Source:
        Zenke, Poole and Ganguli 2017, Continual Learning Through Synaptic Intelligence.
    """
    _check_options(seed, batch_size, steps_per_task, device)
    return IncrementalStream(
        split(load("mnist", root, download), 2),
        seed,
        batch_size=batch_size,
        steps_per_task=steps_per_task,
        device=device,
    )


def _check_options(
    seed: int, batch_size: int, steps_per_task: int, device: torch.device | str | None
) -> None:
    """Refuse what no stream takes before any set is read or downloaded."""
    checked_integer("seed", seed)
    checked_count("batch_size", batch_size)
    checked_count("steps_per_task", steps_per_task)
    if device is not None:
        checked_device("device", device)
