import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

from psp_data import IncrementalStream, PermutingStream, RotatingStream, preview


def cell(picture, row, column, size):
    """Return one image of the picture."""
    top, left = 2 + row * (size + 2), 2 + column * (size + 2)
    return picture[:, top : top + size, left : left + size]


def test_each_column_shows_the_batch_of_its_step(numbered):
    images = numbered(6, (3, 5, 5))
    stream = PermutingStream(images, 3, batch_size=4, steps_per_task=2)
    picture = preview(stream, steps=[5, 0], rows=3)
    assert picture.dtype == torch.uint8
    assert picture.shape == (3, 3 * 7 + 2, 2 * 7 + 2)
    for column, step in enumerate([5, 0]):
        _, labels = stream.train_batch(step)
        order = stream.permutation(stream.task(step))
        for row in range(3):
            pixels = images.train_images[labels[row]].flatten()[order].view(3, 5, 5)
            assert torch.equal(cell(picture, row, column, 5), pixels)


def test_by_default_the_columns_are_the_first_steps_of_the_tasks(numbered):
    stream = RotatingStream(numbered(6), num_tasks=4, batch_size=4)
    assert torch.equal(preview(stream, rows=2), preview(stream, [0, 250, 500, 750], rows=2))


def test_of_many_tasks_ten_evenly_spaced_ones_are_shown(numbered):
    stream = PermutingStream(numbered(6), 50, batch_size=4, steps_per_task=2)
    assert torch.equal(preview(stream, rows=2), preview(stream, range(0, 100, 10), rows=2))


def test_a_preview_can_be_saved_as_a_picture(numbered, tmp_path):
    stream = IncrementalStream([(numbered(6), range(6))], batch_size=4)
    picture = preview(stream, rows=4)
    to_pil_image(picture).save(tmp_path / "stream.png")
    with Image.open(tmp_path / "stream.png") as saved:
        assert torch.equal(pil_to_tensor(saved), picture)


@pytest.mark.parametrize("rows", [5, 0, -1])
def test_rows_must_be_available_in_a_batch(numbered, rows):
    with pytest.raises(ValueError, match=f"rows={rows} must be from 1 to the batch size, 4"):
        preview(RotatingStream(numbered(6), batch_size=4), rows=rows)


def test_nonexistent_steps_raise(numbered):
    with pytest.raises(IndexError, match="step=-1 is not one of the steps"):
        preview(RotatingStream(numbered(6), batch_size=4), [-1], rows=1)
