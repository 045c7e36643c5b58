"""The named image sets: sources, shapes, scales and checksums."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NamedSet:
    """Facts about one set.

    Args:
        mean: Mean that scaling subtracts, as a fraction of the grey scale.
        std: Standard deviation that scaling divides by, as a fraction of the grey scale.
        image_shape: Channels, height and width of an image.
        num_classes: Number of classes; the labels are 0..num_classes-1.
        dataset: Class of `torchvision.datasets` that reads the set; empty for a set that ships
            with a dependency.
        folder: Folder of that class's files, below its root.
        checksum: Checksum of the published images and labels; empty where copies with some of the
            classes are in use, as for CIFAR. torchvision checks its own files of CIFAR.
        per_class: Number of train and test images of each class, where needed to distinguish the
            set from another with images of the same shape.
    """

    mean: float
    std: float
    image_shape: tuple[int, int, int]
    num_classes: int
    dataset: str = ""
    folder: str = ""
    checksum: str = ""
    per_class: tuple[int, int] | None = None


# The paper scales both MNIST and Fashion-MNIST with MNIST's statistics, and CIFAR to [−1, 1].
# It does not use the digits, which are scaled with the statistics of their train images.
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
