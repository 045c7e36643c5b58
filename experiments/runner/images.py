"""Image sets, and evenly spaced samples of them."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from experiments.runner.files import DamagedFile
from psp_data import Images, load


def load_images(name: str) -> Images:
    """Load an image set of psp-data.

    Args:
        name: See `psp_data.load`.

    Raises:
        OSError: If the set is missing and could not be downloaded.
        DamagedFile: If its file is damaged.

    Example:
        >>> from experiments.runner.images import load_images
        >>> load_images("digits").num_classes
        10
    """
    try:
        return load(name)
    except ValueError as error:
        raise DamagedFile(str(error)) from None


def pad_images(images: Images, padding: int) -> Images:
    """Surround images with black pixels.

    Args:
        images: The image set.
        padding: Pixels on each side.

    Example:
        >>> from experiments.runner.images import load_images, pad_images
        >>> pad_images(load_images("digits"), 2).image_shape
        (1, 12, 12)
    """
    if not padding:
        return images
    train, test = (F.pad(part, [padding] * 4) for part in (images.train_images, images.test_images))
    return replace(images, train_images=train, test_images=test)


def evenly_spaced(total: int, count: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the indices of `count` of `total` samples, spaced evenly over the set.

    A test set may be ordered: the second half of MNIST's is harder than the first.

    Args:
        total: Size of the set.
        count: Number of samples; all, if the set is smaller.
        device: Device of the result.

    Returns:
        Distinct indices in ascending order, shape (min(count, total),), int64.

    Example:
        >>> from experiments.runner.images import evenly_spaced
        >>> evenly_spaced(10, 4)
        tensor([0, 2, 5, 7])
    """
    count = min(count, total)
    return (torch.arange(count, device=device) * total) // count


def take_evenly(samples: Tensor, labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Take `count` evenly spaced samples, shape (n, …), and their labels, shape (n,)."""
    if count >= len(labels):
        return samples, labels
    chosen = evenly_spaced(len(labels), count, labels.device)
    return samples.index_select(0, chosen), labels.index_select(0, chosen)
