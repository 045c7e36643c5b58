from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from psp_data import Images

# The machine may be busy, and a failure should be that of the change and not of the day.
exact = settings(deadline=None, derandomize=True, database=None, max_examples=25)


def test_scaling_is_that_of_the_formula(numbered):
    images = replace(numbered(20, (1, 16, 16)), mean=0.1307, std=0.3081)
    pixels = torch.arange(256, dtype=torch.uint8)
    expected = (pixels.double() / 255 - 0.1307) / 0.3081
    torch.testing.assert_close(images.scaled(pixels).double(), expected, rtol=0, atol=1e-6)


def test_scaling_reaches_both_ends_of_the_default_range_exactly(numbered):
    ends = numbered(3).scaled(torch.tensor([0, 255], dtype=torch.uint8))
    assert ends.tolist() == [-1, 1]


@exact
@given(mean=st.floats(0, 1), std=st.floats(0.01, 2))
def test_unscaled_undoes_scaled_for_every_grey_value(numbered, mean, std):
    images = replace(numbered(3), mean=mean, std=std)
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(images.unscaled(images.scaled(pixels)), pixels)


def test_scaling_leaves_floats_that_it_is_given_as_they_were(numbered):
    floats = torch.tensor([0.0, 255.0])
    numbered(3).scaled(floats)
    assert floats.tolist() == [0, 255]


@exact
@given(side=st.integers(5, 12))
def test_padding_puts_the_image_in_the_middle_of_black(numbered, side):
    images = numbered(3, (2, 5, 4))
    padded = images.padded(side)
    assert padded.image_shape == (2, side, side)
    top, left = (side - 5) // 2, (side - 4) // 2
    inside = padded.train_images[:, :, top : top + 5, left : left + 4]
    assert torch.equal(inside, images.train_images)
    assert padded.test_images.sum() == images.test_images.sum()  # so black is all that was added


def test_padding_to_less_than_the_image_is_refused(numbered):
    with pytest.raises(ValueError, match=r"padded\(4\).*5×4 pixels; pad to 5 or more"):
        numbered(3, (1, 5, 4)).padded(4)


def test_resizing_keeps_labels_and_constant_images(numbered):
    images = replace(numbered(3), train_images=torch.full((3, 1, 4, 4), 77, dtype=torch.uint8))
    resized = images.resized(9)
    assert resized.test_images.shape == (3, 1, 9, 9)
    assert resized.train_images.unique().tolist() == [77]
    assert torch.equal(resized.train_labels, images.train_labels)


def test_resizing_to_the_same_size_changes_nothing(numbered):
    images = numbered(3)
    assert torch.equal(images.resized(4).train_images, images.train_images)


def test_resizing_to_nothing_is_refused(numbered):
    with pytest.raises(ValueError, match=r"resized\(0\).*at least 1 pixel"):
        numbered(3).resized(0)


def test_classes_are_those_that_occur(numbered):
    images = replace(numbered(4), train_labels=torch.tensor([7, 2, 7, 4]))
    assert images.classes == (2, 4, 7)
    assert images.num_classes == 8


def test_moving_to_the_same_device_copies_nothing(numbered):
    images = numbered(4)
    assert images.to("cpu").train_images.data_ptr() == images.train_images.data_ptr()


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("train_images", torch.zeros(3, 1, 4, 4), r"train_images must be uint8.*torch\.float32"),
        ("test_images", torch.zeros(3, 4, 4, dtype=torch.uint8), r"test_images.*\(3, 4, 4\)"),
        ("train_images", torch.zeros(0, 1, 4, 4, dtype=torch.uint8), "and not empty"),
        ("train_labels", torch.zeros(2, dtype=torch.int64), r"int64 of shape \(3,\).*\(2,\)"),
        ("test_labels", torch.zeros(3, dtype=torch.int32), r"test_labels.*torch\.int32"),
        ("test_labels", torch.tensor([0, -4, 1]), "must not be negative, but hold -4"),
        ("test_images", torch.zeros(3, 1, 4, 5, dtype=torch.uint8), r"\(1, 4, 4\) do not go with"),
        ("std", 0.0, r"std=0\.0 must be positive"),
    ],
)
def test_what_is_no_image_set_is_refused(numbered, part, value, message):
    with pytest.raises(ValueError, match=message):
        replace(numbered(3), **{part: value})


def test_tensors_on_several_devices_are_refused(numbered):
    elsewhere = torch.zeros(3, 1, 4, 4, dtype=torch.uint8, device="meta")
    with pytest.raises(ValueError, match="several devices; use one"):
        replace(numbered(3), train_images=elsewhere)


def test_an_image_set_prints_in_one_line(numbered):
    assert repr(numbered(3)) == (
        "Images('numbered': 3 train and 3 test images of shape (1, 4, 4), 3 classes, on cpu)"
    )


def test_a_head_has_an_output_for_labels_that_only_the_test_images_have():
    pixels = torch.zeros(10, 1, 4, 4, dtype=torch.uint8)
    images = Images("own", pixels[:5], torch.arange(5), pixels, torch.arange(10))
    assert images.classes == (0, 1, 2, 3, 4)
    assert images.num_classes == 10
