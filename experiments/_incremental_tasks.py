"""The tasks that are learned one after the other."""

from typing import Literal

import torch

from experiments.runner import load_images
from experiments.runner.files import DamagedFile
from psp_data import IncrementalStream, icifar, split

Tasks = Literal["icifar", "split-cifar100", "split-digits"]

SETS: dict[Tasks, tuple[str, ...]] = {
    "icifar": ("cifar10", "cifar100"),
    "split-cifar100": ("cifar100",),
    "split-digits": ("digits",),
}
"""The image sets that the tasks are made of."""

CLASSES_PER_TASK = {"split-cifar100": 5, "split-digits": 2}


def stream_of(
    tasks: Tasks, seed: int, batch: int, steps: int, device: torch.device | str = "cpu"
) -> IncrementalStream:
    """The tasks as a stream.

    Args:
        tasks: `icifar` for the paper's: CIFAR-10, then the classes 10–19 … 40–49 of CIFAR-100;
            `split-cifar100` for tasks of five of the classes that this copy of CIFAR-100 holds;
            `split-digits` for tasks of two digits, which need no file.
        seed: Of the order of the samples.
        batch: Samples in a training batch.
        steps: Training steps per task.
        device: Where the images shall be.

    Raises:
        OSError: If an image set is not there and could not be downloaded.
        DamagedFile: If the file of one does not hold it, or lacks classes or samples that the
            tasks need.

    Example:
        >>> from experiments._incremental_tasks import stream_of
        >>> stream = stream_of("split-digits", seed=0, batch=32, steps=10)
        >>> stream.num_tasks, stream.classes(1), stream.sample_shape
        (5, (2, 3), (1, 8, 8))
    """
    sets = [load_images(name) for name in SETS[tasks]]
    try:
        if tasks == "icifar":
            return icifar(seed=seed, batch_size=batch, steps_per_task=steps, device=device)
        parts = split(sets[0], CLASSES_PER_TASK[tasks])
        return IncrementalStream(parts, seed, batch_size=batch, steps_per_task=steps, device=device)
    except ValueError as error:
        raise DamagedFile(str(error)) from None
