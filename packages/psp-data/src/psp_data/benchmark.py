"""Time the streams against plain DataLoaders: `python -m psp_data.benchmark`.

Each stream runs beside a `DataLoader` over torchvision's own data set with transforms that do the
same work. Both run in one process on one core without workers, in turns, so that whatever else
the machine does falls on both alike. The figure for each is the best of several rounds.
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

BATCH = 128
LIKE_MNIST = ((1, 28, 28), 60_000)
LIKE_CIFAR = ((3, 32, 32), 50_000)


@dataclass(frozen=True)
class Contest:
    """A stream, a DataLoader that does the same work, and what is asked of the stream.

    Args:
        title: The work.
        stream: Gives the batches one way.
        loader: Gives them the other way.
        most_milliseconds: A batch of the stream should take no longer.
        least_speedup: And the DataLoader at least so many times as long.
    """

    title: str
    stream: Stream
    loader: DataLoader[Any]
    most_milliseconds: float
    least_speedup: float


@dataclass(frozen=True)
class Timing:
    """The best times of one contest, in milliseconds for a batch."""

    contest: Contest
    stream: float
    loader: float

    @property
    def speedup(self) -> float:
        """How many batches the stream gives in the time of one of the DataLoader's."""
        return self.loader / self.stream

    @property
    def good(self) -> bool:
        """Whether the stream is as fast as is asked of it."""
        fast = self.stream <= self.contest.most_milliseconds
        return fast and self.speedup >= self.contest.least_speedup

    def __str__(self) -> str:
        """One line of the table that `main` prints."""
        return (
            f"{self.contest.title:<18}"
            f"{self.stream:8.3f} ms (at most {self.contest.most_milliseconds})"
            f"{self.loader:9.2f} ms"
            f"{self.speedup:7.1f} times (at least {self.contest.least_speedup:.0f})"
            f"   {'ok' if self.good else 'TOO SLOW'}"
        )


def main(arguments: Sequence[str] | None = None) -> list[Timing]:
    """Run every contest, print a table, and return what it shows."""
    parser = argparse.ArgumentParser("python -m psp_data.benchmark", description=__doc__)
    parser.add_argument("--root", help="the folder of the image sets, as for load()")
    parser.add_argument("--rounds", type=_count, default=7, help="rounds, of which the best counts")
    parser.add_argument(
        "--batches", type=_count, default=500, help="batches of a stream in a round"
    )
    parser.add_argument(
        "--random", action="store_true", help="random pixels of the same shapes: needs no files"
    )
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if chosen.random:
        mnist, cifar = random_images("mnist", *LIKE_MNIST), random_images("cifar10", *LIKE_CIFAR)
    else:
        try:
            mnist, cifar = load("mnist", chosen.root), load("cifar10", chosen.root)
        except (OSError, ValueError) as error:
            parser.error(f"--root {chosen.root}: {error}")
        opening = min(_milliseconds(lambda: load("mnist", chosen.root), 1) for _ in range(5))
        print(f"MNIST opens in {opening:.0f} ms (at most 50)")
    print(f"one core, batch {BATCH}, best of {chosen.rounds} rounds; torch {torch.__version__}")
    print(f"{'':<18}{'stream':>11}{'DataLoader':>28}{'speedup':>13}")
    timings = []
    for contest in contests(mnist, cifar):
        timings.append(compete(contest, chosen.rounds, chosen.batches))
        print(timings[-1], flush=True)
    return timings


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= 10**6:
        raise argparse.ArgumentTypeError(f"{count} is not in 1..1000000")
    return count


def random_images(name: str, shape: tuple[int, int, int], count: int) -> Images:
    """`count` images of random pixels, and as many for the test set; time is all they are for."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(
        0, 256, (count, *shape), dtype=torch.uint8, generator=generator, device="cpu"
    )
    labels = torch.arange(count, device="cpu") % 10
    return Images(name, images, labels, images, labels)


def contests(mnist: Images, cifar: Images) -> Iterator[Contest]:
    """The three streams, each beside its DataLoader."""
    permuting = PermutingStream(mnist, batch_size=BATCH, steps_per_task=100)
    order = permuting.permutation(1)
    yield Contest(
        "permuting MNIST",
        permuting,
        _loader(_Mnist(mnist, *_scaling(mnist), transforms.Lambda(lambda x: x.flatten()[order]))),
        most_milliseconds=0.3,
        least_speedup=20,
    )
    yield Contest(
        "incremental CIFAR",
        IncrementalStream([(cifar, range(10))], batch_size=BATCH, steps_per_task=1_000_000),
        _loader(_Cifar10(cifar, *_scaling(cifar))),
        most_milliseconds=0.6,
        least_speedup=20,
    )
    turn = transforms.RandomRotation((33, 33), transforms.InterpolationMode.BILINEAR)
    yield Contest(
        "rotating MNIST",
        RotatingStream(mnist, batch_size=BATCH),
        _loader(_Mnist(mnist, turn, *_scaling(mnist))),
        most_milliseconds=1.5,
        least_speedup=10,
    )


def compete(contest: Contest, rounds: int, batches: int) -> Timing:
    """Time both in turns; the DataLoader for a twentieth of the batches, since it is slower."""
    steps = itertools.cycle(range(1, 1000))  # not 0, where nothing is turned or permuted
    from_loader = iter(contest.loader)

    def next_from_stream() -> tuple[Tensor, Tensor]:
        return contest.stream.train_batch(next(steps))

    def next_from_loader() -> tuple[Tensor, Tensor]:
        nonlocal from_loader
        batch = next(from_loader, None)
        if batch is None:  # the end of an epoch
            from_loader = iter(contest.loader)
            batch = next(from_loader)
        images, labels = batch
        return images, labels

    few = max(1, batches // 20)
    _milliseconds(next_from_stream, few)  # the first calls are slower
    _milliseconds(next_from_loader, 1)
    stream, loader = [], []
    for _ in range(rounds):
        stream.append(_milliseconds(next_from_stream, batches))
        loader.append(_milliseconds(next_from_loader, few))
    return Timing(contest, min(stream), min(loader))


def _milliseconds(call: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) * 1000 / times


def _loader(dataset: object) -> DataLoader[Any]:
    return DataLoader(dataset, batch_size=BATCH, shuffle=True)  # type: ignore[arg-type]


def _scaling(images: Images) -> tuple[Callable[..., Any], ...]:
    channels = images.image_shape[0]
    return (
        transforms.ToTensor(),
        transforms.Normalize([images.mean] * channels, [images.std] * channels),
    )


class _Mnist(torchvision.datasets.MNIST):  # type: ignore[misc]  # torchvision has no types
    """torchvision's MNIST, over images that are loaded already."""

    def __init__(self, images: Images, *steps: Callable[..., Any]) -> None:
        self.data = images.train_images[:, 0]
        self.targets = images.train_labels
        self.transform = transforms.Compose(steps)
        self.target_transform = None


class _Cifar10(torchvision.datasets.CIFAR10):  # type: ignore[misc]  # torchvision has no types
    """torchvision's CIFAR-10, over images that are loaded already."""

    def __init__(self, images: Images, *steps: Callable[..., Any]) -> None:
        self.data = images.train_images.permute(0, 2, 3, 1).contiguous().numpy()
        self.targets = images.train_labels.tolist()
        self.transform = transforms.Compose(steps)
        self.target_transform = None


if __name__ == "__main__":
    main()
