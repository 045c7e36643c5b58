"""What is known of each named set: where it comes from and how its pixels are scaled."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NamedSet:
    """Facts of one set.

    Args:
        mean: Subtracted from the pixels, as a fraction of the full grey scale.
        std: Divides them afterwards.
        image_shape: Channels, height and width of its images as published.
        num_classes: Its labels are 0..num_classes-1.
        dataset: The class of `torchvision.datasets` that reads it; none for a set that ships
            with a dependency.
        folder: Where that class keeps its files, below its root.
        checksum: Of shapes and contents as published, if there is no other version. CIFAR is also
            passed on with some of its classes; torchvision checks its own files of it.
        per_class: How many train and test images each class has, where that tells the set from
            another of its shape.
    """

    mean: float
    std: float
    image_shape: tuple[int, int, int]
    num_classes: int
    dataset: str = ""
    folder: str = ""
    checksum: str = ""
    per_class: tuple[int, int] | None = None


# The paper scales MNIST and Fashion-MNIST alike, with MNIST's statistics, and takes CIFAR to
# [−1, 1]. The digits, which it does not use, have their own statistics (of the train split).
SETS = {
    "digits": NamedSet(0.3060, 0.3765, (1, 8, 8), 10),
    "mnist": NamedSet(0.1307, 0.3081, (1, 28, 28), 10, "MNIST", "MNIST/raw", "468bb4f0"),
    "fashion_mnist": NamedSet(
        0.1307, 0.3081, (1, 28, 28), 10, "FashionMNIST", "FashionMNIST/raw", "d43578dc"
    ),
    "cifar10": NamedSet(
        0.5, 0.5, (3, 32, 32), 10, "CIFAR10", "cifar-10-batches-py", per_class=(5000, 1000)
    ),
    "cifar100": NamedSet(
        0.5, 0.5, (3, 32, 32), 100, "CIFAR100", "cifar-100-python", per_class=(500, 100)
    ),
}
