"""A picture of what a stream shows when."""

import itertools
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from psp_data._arguments import check_type, checked_count, checked_step
from psp_data._stream import Stream

COLUMNS = 10
"""Unless steps are given."""
MOST_COLUMNS = 1000


def preview(stream: Stream, steps: Sequence[int] | None = None, *, rows: int = 8) -> Tensor:
    """Images that the stream shows, one column for each step, time running to the right.

    Args:
        stream: Any stream.
        steps: The steps to look at, at most 1000; by default the first step of every task, or of
            ten tasks spread evenly where there are more.
        rows: How many images of each batch are drawn, at most a batch.

    Returns:
        Shape (3, height, width), uint8.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If there is no step to show or more than 1000, or a batch has fewer than
            `rows` images.
        IndexError: If a step is not one of the stream's.

    Source:
        Cheung et al. 2019, figures 4a and 6a.

    Example:
        >>> from psp_data import RotatingStream, load, preview
        >>> picture = preview(RotatingStream(load("digits")), rows=4)
        >>> picture.shape, picture.dtype  # ten columns of 8 pixels with 2 between them
        (torch.Size([3, 42, 102]), torch.uint8)

        Save it with `torchvision.transforms.functional.to_pil_image(picture).save("stream.png")`.
    """
    check_type("stream", stream, Stream, "a stream")
    rows = checked_count("rows", rows)
    if rows > stream.batch_size:
        raise ValueError(
            f"rows={rows} is more than the {stream.batch_size} images of a batch; use "
            f"{stream.batch_size} or less."
        )
    if steps is None:
        columns = min(stream.num_tasks, COLUMNS)
        steps = [stream.first_step(i * stream.num_tasks // columns) for i in range(columns)]
    shown = _checked_steps(steps, getattr(stream, "num_steps", None))
    columns_of_images = [
        stream.grey(stream.train_batch(step)[0][:rows], stream.task(step)) for step in shown
    ]
    from torchvision.utils import make_grid  # here, since importing it takes seconds

    row_by_row = torch.stack(columns_of_images, 1).flatten(0, 1)
    picture: Tensor = make_grid(row_by_row, nrow=len(shown), padding=2, pad_value=255)
    return picture.cpu()


def _checked_steps(steps: Iterable[int], num_steps: int | None) -> list[int]:
    check_type("steps", steps, Iterable, "a sequence of steps")
    some = [
        checked_step(step, num_steps, f"steps[{column}]: step")
        for column, step in enumerate(itertools.islice(steps, MOST_COLUMNS + 1))
    ]
    if not 1 <= len(some) <= MOST_COLUMNS:
        count = "is empty" if not some else f"has more than {MOST_COLUMNS} entries"
        raise ValueError(f"preview: steps {count}; name at least one step to show, and no more.")
    return some
