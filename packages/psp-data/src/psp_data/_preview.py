"""A picture of the images that a stream shows."""

from collections.abc import Iterable

import torch
from torch import Tensor

from psp_data._stream import Stream

DEFAULT_COLUMNS = 10


def preview(stream: Stream, steps: Iterable[int] | None = None, *, rows: int = 8) -> Tensor:
    """Draw images of the stream, one column for each step, with time running to the right.

    Args:
        stream: Any stream.
        steps: Steps to show; by default the first step of every task, or of ten evenly spaced
            tasks if there are more.
        rows: Number of images of each batch, from 1 to the batch size.

    Returns:
        Shape (3, height, width), uint8.

    Raises:
        ValueError: If a batch has fewer than `rows` images.
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
    if not 1 <= rows <= stream.batch_size:
        raise ValueError(f"rows={rows} must be from 1 to the batch size, {stream.batch_size}.")
    if steps is None:
        num_columns = min(stream.num_tasks, DEFAULT_COLUMNS)
        tasks = [column * stream.num_tasks // num_columns for column in range(num_columns)]
        steps = map(stream.first_step, tasks)
    columns = [stream.grey(stream.train_batch(step)[0][:rows], stream.task(step)) for step in steps]
    from torchvision.utils import make_grid  # here, since importing it takes seconds

    row_by_row = torch.stack(columns, 1).flatten(0, 1)
    picture: Tensor = make_grid(row_by_row, nrow=len(columns), padding=2, pad_value=255)
    return picture.cpu()
