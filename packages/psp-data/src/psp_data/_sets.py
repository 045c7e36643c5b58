"""What is known of each named set: where it comes from and how its pixels are scaled."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NamedSet:
    """Facts of one set.

    Args:
        mean: Subtracted from the pixels, as a fraction of the full grey scale.
        std: Divides them afterwards.
        dataset: The class of `torchvision.datasets` that reads it; none for a set that ships
            with a dependency.
        folder: Where that class keeps its files, below its root.
        checksum: Of the set as published, where nothing else would notice a changed file:
            torchvision checks the CIFAR files whenever it opens them, the MNIST ones only when
            it downloads them.
    """

    mean: float
    std: float
    dataset: str = ""
    folder: str = ""
    checksum: str = ""


# The paper scales MNIST and Fashion-MNIST alike, with MNIST's statistics, and takes CIFAR to
# [−1, 1]. The digits, which it does not use, have their own statistics (of the train split).
SETS = {
    "digits": NamedSet(0.3060, 0.3765),
    "mnist": NamedSet(0.1307, 0.3081, "MNIST", "MNIST/raw", "468bb4f0"),
    "fashion_mnist": NamedSet(0.1307, 0.3081, "FashionMNIST", "FashionMNIST/raw", "d43578dc"),
    "cifar10": NamedSet(0.5, 0.5, "CIFAR10", "cifar-10-batches-py"),
    "cifar100": NamedSet(0.5, 0.5, "CIFAR100", "cifar-100-python"),
}
