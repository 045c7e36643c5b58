"""One task of an incremental stream: some classes of one set."""

import itertools
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

import torch
from torch import Tensor

from psp_data._arguments import checked_integer
from psp_data._images import Images


@dataclass(frozen=True, eq=False)
class ClassTask:
    """Which samples of a set a task shows, and their labels on the head."""

    images: Images
    classes: tuple[int, ...]
    train_rows: Tensor  # (n,) int64: where the samples of the task are in the whole train set
    train_labels: Tensor  # (n,) int64: their labels on the head
    test_rows: Tensor
    test_labels: Tensor

    @classmethod
    def of(cls, images: Images, classes: tuple[int, ...]) -> "ClassTask":
        """Find the samples."""
        return cls(
            images,
            classes,
            *_choose(images.train_labels, classes),
            *_choose(images.test_labels, classes),
        )


def checked_task(where: str, task: object) -> tuple[Images, tuple[int, ...]]:
    """A pair of images and classes; `where` is how an error names the task."""
    pair = tuple(task) if isinstance(task, list | tuple) else ()
    if (
        len(pair) != 2
        or not isinstance(pair[0], Images)
        or not isinstance(pair[1], Iterable)
        or isinstance(pair[1], Set)  # without an order, and so without labels
    ):
        raise TypeError(
            f"{where} must be a pair (images, classes), but is {str(task)[:60]}; pass "
            "(load('digits'), [0, 1]), for example: a list, whose order is that of the labels."
        )
    return pair[0], _checked_classes(where, *pair)


def _checked_classes(where: str, images: Images, classes: Iterable[int]) -> tuple[int, ...]:
    """The classes as ints, if there are any, each once."""
    # With one class more than there are, a list is wrong, however long it is.
    some = itertools.islice(classes, len(images.classes) + 1)
    wanted = tuple(checked_integer(f"{where}: class", label) for label in some)
    if not wanted:
        raise ValueError(f"{where}: the list of classes is empty; name at least one.")
    if len(set(wanted)) < len(wanted):
        repeated = sorted({label for label in wanted if wanted.count(label) > 1})
        raise ValueError(f"{where}: the classes {_spans(repeated)} are listed repeatedly.")
    return wanted


def refuse_absent_classes(tasks: Sequence[tuple[Images, tuple[int, ...]]]) -> None:
    """Raise ValueError for the first set that lacks a class, naming all that its tasks miss."""
    for images in dict.fromkeys(images for images, _ in tasks):
        held = set(images.classes) & set(images.test_labels.unique().tolist())
        wanted = {label for other, classes in tasks if other is images for label in classes}
        if wanted - held:
            raise ValueError(
                f"tasks: this copy of {images.name} has no images of the classes "
                f"{_spans(wanted - held)}; it holds {_spans(held)}. Use a whole copy, or list "
                "only classes that are there."
            )


def _choose(labels: Tensor, classes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """The rows that have one of the classes, and for each its place in `classes`."""
    # Not by a table of all labels up to the largest, which may be any number.
    ascending, place = labels.new_tensor(classes).sort()
    nearest = torch.searchsorted(ascending, labels).clamp(max=len(classes) - 1)
    rows = (ascending[nearest] == labels).nonzero().flatten()
    return rows, place[nearest[rows]]


def _spans(numbers: Sequence[int] | set[int]) -> str:
    """Numbers as text, runs joined: 0–3, 7."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
