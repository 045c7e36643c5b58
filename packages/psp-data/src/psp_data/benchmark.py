"""Compare the speed of the streams with plain DataLoaders: `python -m psp_data.benchmark`.

Each stream is compared with a `DataLoader` over torchvision's own data set, whose transforms do
the same work. Both run in one process on one core without workers. They alternate, so that other
load on the machine affects both. Each time is the best of several rounds.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torchvision.datasets
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import transforms

from psp_data._images import Images
from psp_data._incremental import IncrementalStream
from psp_data._load import load
from psp_data._permuting import PermutingStream
from psp_data._rotating import RotatingStream
from psp_data._stream import Stream

BATCH_SIZE = 128
MNIST_FORM = ((1, 28, 28), 60_000)
CIFAR_FORM = ((3, 32, 32), 50_000)


@dataclass(frozen=True)
class Comparison:
    """A stream, a DataLoader that does the same work, and the speed required of the stream.

    Args:
        title: Name of the work in the table.
        stream: Stream to measure.
        loader: DataLoader to compare it with.
        max_milliseconds: Longest time allowed for a batch of the stream.
        min_speedup: Smallest ratio allowed of the DataLoader's time to the stream's.
    """

    title: str
    stream: Stream
    loader: DataLoader[Any]
    max_milliseconds: float
    min_speedup: float


@dataclass(frozen=True)
class Timing:
    """The best times of one comparison, in milliseconds per batch."""

    comparison: Comparison
    stream: float
    loader: float

    @property
    def speedup(self) -> float:
        """Ratio of the DataLoader's time to the stream's."""
        return self.loader / self.stream

    @property
    def fast_enough(self) -> bool:
        """True if the stream meets both requirements of the comparison."""
        return (
            self.stream <= self.comparison.max_milliseconds
            and self.speedup >= self.comparison.min_speedup
        )

    def __str__(self) -> str:
        """Format one line of the table."""
        return (
            f"{self.comparison.title:<18}"
            f"{self.stream:8.3f} ms (at most {self.comparison.max_milliseconds})"
            f"{self.loader:9.2f} ms"
            f"{self.speedup:7.1f} times (at least {self.comparison.min_speedup:.0f})"
            f"   {'ok' if self.fast_enough else 'TOO SLOW'}"
        )


def main(arguments: Sequence[str] | None = None) -> list[Timing]:
    """Run every comparison, print a table, and return its timings."""
    parser = argparse.ArgumentParser("python -m psp_data.benchmark", description=__doc__)
    parser.add_argument("--root", help="folder of the image sets, as for load()")
    parser.add_argument("--rounds", type=_count, default=7, help="number of rounds")
    parser.add_argument(
        "--batches", type=_count, default=500, help="batches of each stream in a round"
    )
    parser.add_argument(
        "--random", action="store_true", help="use random pixels of the same shapes, without files"
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.random:
        mnist, cifar = random_images("mnist", *MNIST_FORM), random_images("cifar10", *CIFAR_FORM)
    else:
        try:
            mnist, cifar = load("mnist", options.root), load("cifar10", options.root)
        except (OSError, ValueError) as error:
            parser.error(f"--root {options.root}: {error}")
        opening = min(_milliseconds(lambda: load("mnist", options.root), 1) for _ in range(5))
        print(f"MNIST opens in {opening:.0f} ms (at most 50)")
    print(
        f"one core, batch {BATCH_SIZE}, best of {options.rounds} rounds; torch {torch.__version__}"
    )
    print(f"{'':<18}{'stream':>11}{'DataLoader':>28}{'speedup':>13}")
    timings = []
    for comparison in comparisons(mnist, cifar):
        timings.append(measure(comparison, options.rounds, options.batches))
        print(timings[-1], flush=True)
    return timings


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{count} must be at least 1")
    return count


def random_images(name: str, shape: tuple[int, int, int], count: int) -> Images:
    """Return `count` train images of random pixels, and the same images for testing."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(
        0, 256, (count, *shape), dtype=torch.uint8, generator=generator, device="cpu"
    )
    labels = torch.arange(count, device="cpu") % 10
    return Images(name, images, labels, images, labels)


def comparisons(mnist: Images, cifar: Images) -> Iterator[Comparison]:
    """Yield a comparison for each of the three streams."""
    permuting = PermutingStream(mnist, batch_size=BATCH_SIZE, steps_per_task=100)
    order = permuting.permutation(1)
    yield Comparison(
        "permuting MNIST",
        permuting,
        _loader(_Mnist(mnist, *_scaling(mnist), transforms.Lambda(lambda x: x.flatten()[order]))),
        max_milliseconds=0.3,
        min_speedup=20,
    )
    yield Comparison(
        "incremental CIFAR",
        IncrementalStream([(cifar, range(10))], batch_size=BATCH_SIZE, steps_per_task=1_000_000),
        _loader(_Cifar10(cifar, *_scaling(cifar))),
        max_milliseconds=0.6,
        min_speedup=20,
    )
    rotation = transforms.RandomRotation((33, 33), transforms.InterpolationMode.BILINEAR)
    yield Comparison(
        "rotating MNIST",
        RotatingStream(mnist, batch_size=BATCH_SIZE),
        _loader(_Mnist(mnist, rotation, *_scaling(mnist))),
        max_milliseconds=1.5,
        min_speedup=10,
    )


def measure(comparison: Comparison, rounds: int, batches: int) -> Timing:
    """Time both in turns, the slower DataLoader for a twentieth of the batches."""
    steps = itertools.cycle(range(1, 1000))  # without 0, where images are neither moved nor rotated
    loader_batches = itertools.chain.from_iterable(itertools.repeat(comparison.loader))

    def next_stream_batch() -> tuple[Tensor, Tensor]:
        return comparison.stream.train_batch(next(steps))

    def next_loader_batch() -> tuple[Tensor, Tensor]:
        images, labels = next(loader_batches)
        return images, labels

    loader_count = max(1, batches // 20)
    _milliseconds(next_stream_batch, loader_count)  # the first calls are slower
    _milliseconds(next_loader_batch, 1)
    stream_times, loader_times = [], []
    for _ in range(rounds):
        stream_times.append(_milliseconds(next_stream_batch, batches))
        loader_times.append(_milliseconds(next_loader_batch, loader_count))
    return Timing(comparison, min(stream_times), min(loader_times))


def _milliseconds(call: Callable[[], object], repetitions: int) -> float:
    start = time.perf_counter()
    for _ in range(repetitions):
        call()
    return (time.perf_counter() - start) * 1000 / repetitions


def _loader(dataset: object) -> DataLoader[Any]:
    return DataLoader(dataset, batch_size=BATCH_SIZE, shuffle=True)  # type: ignore[arg-type]


def _scaling(images: Images) -> tuple[Callable[..., Any], ...]:
    channels = images.image_shape[0]
    return (
        transforms.ToTensor(),
        transforms.Normalize([images.mean] * channels, [images.std] * channels),
    )


class _Mnist(torchvision.datasets.MNIST):  # type: ignore[misc]  # torchvision has no types
    """torchvision's MNIST over images that are loaded already."""

    def __init__(self, images: Images, *steps: Callable[..., Any]) -> None:
        self.data = images.train_images[:, 0]
        self.targets = images.train_labels
        self.transform = transforms.Compose(steps)
        self.target_transform = None


class _Cifar10(torchvision.datasets.CIFAR10):  # type: ignore[misc]  # torchvision has no types
    """torchvision's CIFAR-10 over images that are loaded already."""

    def __init__(self, images: Images, *steps: Callable[..., Any]) -> None:
        self.data = images.train_images.permute(0, 2, 3, 1).contiguous().numpy()
        self.targets = images.train_labels.tolist()
        self.transform = transforms.Compose(steps)
        self.target_transform = None


if __name__ == "__main__":
    main()
