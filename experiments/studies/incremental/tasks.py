"""The tasks that are learned in sequence."""

from typing import Literal

import torch

from experiments.runner.files import DamagedFile
from experiments.runner.images import load_images
from psp_data import IncrementalStream, icifar, split

Tasks = Literal["icifar", "split-cifar100", "split-digits"]

IMAGE_SETS: dict[Tasks, tuple[str, ...]] = {
    "icifar": ("cifar10", "cifar100"),
    "split-cifar100": ("cifar100",),
    "split-digits": ("digits",),
}
"""Image sets of the tasks."""

CLASSES_PER_TASK = {"split-cifar100": 5, "split-digits": 2}


def stream_of(
    tasks: Tasks, seed: int, batch: int, steps: int, device: torch.device | str = "cpu"
) -> IncrementalStream:
    """Return the stream of the tasks.

    Args:
        tasks: `icifar` for the paper's: CIFAR-10, then classes 10–19 … 40–49 of CIFAR-100;
            `split-cifar100` for tasks of five of the classes that this copy of CIFAR-100 has;
            `split-digits` for tasks of two digits, which need no file.
        seed: Seed of the order of samples.
        batch: Samples per training batch.
        steps: Training steps per task.
        device: Device of the images.

    Raises:
        OSError: If an image set is missing and could not be downloaded.
        DamagedFile: If a file does not hold its image set, or lacks classes or samples.

    Example:
        >>> from experiments.studies.incremental.tasks import stream_of
        >>> stream = stream_of("split-digits", seed=0, batch=32, steps=10)
        >>> stream.num_tasks, stream.classes(1), stream.sample_shape
        (5, (2, 3), (1, 8, 8))
    """
    image_sets = [load_images(name) for name in IMAGE_SETS[tasks]]
    try:
        if tasks == "icifar":
            return icifar(seed=seed, batch_size=batch, steps_per_task=steps, device=device)
        parts = split(image_sets[0], CLASSES_PER_TASK[tasks])
        return IncrementalStream(parts, seed, batch_size=batch, steps_per_task=steps, device=device)
    except ValueError as error:
        raise DamagedFile(str(error)) from None
