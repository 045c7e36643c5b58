"""One task of an incremental stream: some classes of one set."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from psp_data._images import Images
from psp_data._stream import checked_integer


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


def checked_classes(where: str, classes: Iterable[int]) -> tuple[int, ...]:
    """The classes as ints, if there are any, each once; `where` is how an error names the task."""
    wanted = tuple(checked_integer(f"{where}: class", label) for label in classes)
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
                f"this copy of {images.name} has no images of the classes "
                f"{_spans(wanted - held)}; it holds {_spans(held)}. Use a whole copy, or list "
                "only classes that are there."
            )


def _choose(labels: Tensor, classes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """The rows that have one of the classes, and for each its place in `classes`."""
    on_head = labels.new_full((max(int(labels.max()), *classes) + 1,), -1)
    on_head[list(classes)] = torch.arange(len(classes), device=labels.device)
    new_labels = on_head[labels]
    rows = (new_labels >= 0).nonzero().flatten()
    return rows, new_labels[rows]


def _spans(numbers: Sequence[int] | set[int]) -> str:
    """Numbers as text, runs joined: 0–3, 7."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
