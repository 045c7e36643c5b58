"""The incremental benchmarks of the literature."""

import os

import torch

from psp_data._images import Images
from psp_data._incremental import IncrementalStream
from psp_data._load import load


def split(images: Images, classes_per_task: int) -> list[tuple[Images, tuple[int, ...]]]:
    """Split the classes of a set, in order, into tasks for `IncrementalStream`.

    Args:
        images: Any image set.
        classes_per_task: Number of classes of each task; must divide the number of classes in
            the set.

    Returns:
        One pair (images, classes) for each task.

    Raises:
        ValueError: If the classes cannot be split evenly.

    Example:
        >>> from psp_data import load, split
        >>> [classes for _, classes in split(load("digits"), 5)]
        [(0, 1, 2, 3, 4), (5, 6, 7, 8, 9)]
    """
    num_classes = len(images.classes)
    if classes_per_task < 1 or num_classes % classes_per_task:
        raise ValueError(
            f"classes_per_task={classes_per_task} does not divide the {num_classes} classes of "
            f"{images.name}; use a divisor, or pass your own class lists to IncrementalStream."
        )
    starts = range(0, num_classes, classes_per_task)
    return [(images, images.classes[start : start + classes_per_task]) for start in starts]


def icifar(
    root: str | os.PathLike[str] | None = None,
    seed: int = 1,
    *,
    batch_size: int = 128,
    steps_per_task: int = 20_000,
    download: bool = True,
    device: torch.device | str | None = None,
) -> IncrementalStream:
    """Return the paper's incremental CIFAR: CIFAR-10, then 40 classes of CIFAR-100.

    Tasks 1 to 4 show the classes 10–19, 20–29, 30–39 and 40–49. Pixels are scaled to [−1, 1].

    Args:
        root: Folder of the image sets; see `load`.
        seed: Seed of the order of the samples.
        batch_size: Number of samples in a batch.
        steps_per_task: Number of steps of each task.
        download: Download missing sets.
        device: Device of the batches; by default the CPU.

    Raises:
        FileNotFoundError: If a set is missing and cannot or may not be downloaded.
        ValueError: If an argument is out of range, or a set is damaged or lacks classes.

    Source:
        Cheung et al. 2019, section 4.2, and its authors' code for the classes.
    """
    cifar10, cifar100 = load("cifar10", root, download), load("cifar100", root, download)
    later_tasks = [(cifar100, range(start, start + 10)) for start in (10, 20, 30, 40)]
    return IncrementalStream(
        [(cifar10, range(10)), *later_tasks],
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
    """Return Split-CIFAR-100: ten tasks of ten classes, 0–9 to 90–99, scaled to [−1, 1].

    Args and errors are those of `icifar`. Copies that lack classes are an error; use
    `IncrementalStream(split(load("cifar100"), 10))` for the classes that such a copy has.

    Source:
        Zenke, Poole and Ganguli 2017, Continual Learning Through Synaptic Intelligence.
    """
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
    """Return Split-MNIST: five tasks of two digits, 0–1 to 8–9, scaled as MNIST is.

    Args and errors are those of `icifar`.

    Source:
        Zenke, Poole and Ganguli 2017, Continual Learning Through Synaptic Intelligence.
    """
    return IncrementalStream(
        split(load("mnist", root, download), 2),
        seed,
        batch_size=batch_size,
        steps_per_task=steps_per_task,
        device=device,
    )
