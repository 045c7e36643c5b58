"""One task of an incremental stream: some classes of one set."""

import operator
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

import torch
from torch import Tensor

from psp_data._images import Images


@dataclass(frozen=True, eq=False)
class ClassTask:
    """The samples of a set that a task shows, and their labels on the head."""

    images: Images
    classes: tuple[int, ...]
    train_rows: Tensor  # (n,) int64, rows of the whole train set
    train_labels: Tensor  # (n,) int64, labels on the head
    test_rows: Tensor
    test_labels: Tensor

    @classmethod
    def select(cls, images: Images, classes: tuple[int, ...]) -> "ClassTask":
        """Select the train and test samples of `classes`."""
        train_rows, train_labels = _select(images.train_labels, classes)
        test_rows, test_labels = _select(images.test_labels, classes)
        return cls(images, classes, train_rows, train_labels, test_rows, test_labels)


def checked_classes(task: int, classes: Iterable[int]) -> tuple[int, ...]:
    """Return the classes of tasks[task] as ints, after checking that they define labels.

    Raises:
        TypeError: If the classes are a set, whose order is undefined.
        ValueError: If there are none, or one is repeated.
    """
    if isinstance(classes, Set):
        raise TypeError(f"tasks[{task}]: a set has no order to label its classes by; pass a list.")
    labels = tuple(map(operator.index, classes))
    if not labels:
        raise ValueError(f"tasks[{task}]: the list of classes is empty; name at least one.")
    repeated = {label for label in labels if labels.count(label) > 1}
    if repeated:
        raise ValueError(f"tasks[{task}]: the classes {_spans(repeated)} are repeated.")
    return labels


def check_classes_exist(tasks: Sequence[tuple[Images, tuple[int, ...]]]) -> None:
    """Raise ValueError for the first set that lacks a class, naming all that its tasks lack."""
    for images in dict.fromkeys(images for images, _ in tasks):
        available = set(images.classes) & set(images.test_labels.unique().tolist())
        requested = {label for other, classes in tasks if other is images for label in classes}
        missing = requested - available
        if missing:
            raise ValueError(
                f"tasks: this copy of {images.name} has no images of the classes "
                f"{_spans(missing)}; it has {_spans(available)}. List only those that it has."
            )


def _select(labels: Tensor, classes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return the rows whose label is one of `classes`, and the index of that label in it."""
    # Labels may be arbitrarily large, so a lookup table over all of them may not fit.
    ascending, index = labels.new_tensor(classes).sort()
    nearest = torch.searchsorted(ascending, labels).clamp(max=len(classes) - 1)
    rows = (ascending[nearest] == labels).nonzero().flatten()
    return rows, index[nearest[rows]]


def _spans(labels: Iterable[int]) -> str:
    """Format labels with runs abbreviated: 0–3, 7."""
    runs: list[list[int]] = []
    for label in sorted(labels):
        if runs and label == runs[-1][-1] + 1:
            runs[-1].append(label)
        else:
            runs.append([label])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
