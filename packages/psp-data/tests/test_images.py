import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from psp_data import Images

# The same cases in every run, and no deadline, since the machine may be busy.
exact = settings(deadline=None, derandomize=True, database=None, max_examples=25)


def test_scaling_follows_its_formula(numbered):
    images = replace(numbered(20, (1, 16, 16)), mean=0.1307, std=0.3081)
    pixels = torch.arange(256, dtype=torch.uint8)
    expected = (pixels.double() / 255 - 0.1307) / 0.3081
    torch.testing.assert_close(images.scaled(pixels).double(), expected, rtol=0, atol=1e-6)


def test_the_default_scale_maps_black_and_white_to_minus_one_and_one(numbered):
    ends = numbered(3).scaled(torch.tensor([0, 255], dtype=torch.uint8))
    assert ends.tolist() == [-1, 1]


@exact
@given(mean=st.floats(0, 1), std=st.floats(0.01, 2))
def test_unscaled_undoes_scaled_for_every_grey_value(numbered, mean, std):
    images = replace(numbered(3), mean=mean, std=std)
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(images.unscaled(images.scaled(pixels)), pixels)


def test_scaling_does_not_change_its_input(numbered):
    floats = torch.tensor([0.0, 255.0])
    numbered(3).scaled(floats)
    assert floats.tolist() == [0, 255]


@exact
@given(side=st.integers(5, 12))
def test_padding_centres_the_image_in_black(numbered, side):
    images = numbered(3, (2, 5, 4))
    padded = images.padded(side)
    assert padded.image_shape == (2, side, side)
    top, left = (side - 5) // 2, (side - 4) // 2
    inside = padded.train_images[:, :, top : top + 5, left : left + 4]
    assert torch.equal(inside, images.train_images)
    assert padded.test_images.sum() == images.test_images.sum()  # so the rest is black


def test_padding_to_less_than_the_image_raises(numbered):
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


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.complex64])
def test_only_bytes_and_floats_are_scaled(numbered, dtype):
    with pytest.raises(TypeError, match=f"pixels must be uint8 or floating, but are {dtype}"):
        numbered(3).scaled(torch.ones(2).to(dtype))


def test_only_floats_are_unscaled(numbered):
    with pytest.raises(TypeError, match=r"scaled samples must be floating, but are torch\.uint8"):
        numbered(3).unscaled(torch.ones(2, dtype=torch.uint8))


def test_classes_are_the_labels_that_occur(numbered):
    images = replace(numbered(4), train_labels=torch.tensor([7, 2, 7, 4]))
    assert images.classes == (2, 4, 7)
    assert images.num_classes == 8


def test_moving_to_the_same_device_does_not_copy(numbered):
    images = numbered(4)
    assert images.to("cpu").train_images.data_ptr() == images.train_images.data_ptr()


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("train_images", torch.zeros(3, 1, 4, 4), r"train_images must be uint8.*torch\.float32"),
        ("test_images", torch.zeros(3, 4, 4, dtype=torch.uint8), r"test_images.*\(3, 4, 4\)"),
        ("train_images", torch.zeros(0, 1, 4, 4, dtype=torch.uint8), "and not empty"),
        (
            "train_labels",
            torch.zeros(2, dtype=torch.int64),
            r"int64 of shape \(3,\), but are .*\(2,\)",
        ),
        ("test_labels", torch.zeros(3, dtype=torch.int32), r"test_labels.*torch\.int32"),
        ("test_labels", torch.tensor([0, -4, 1]), r"test_labels hold -4; use 0 or more\."),
        (
            "test_images",
            torch.zeros(3, 1, 4, 5, dtype=torch.uint8),
            r"differ in shape: \[\(1, 4, 4\), \(1, 4, 5\)\]",
        ),
        ("std", 0.0, r"mean=0\.5, std=0\.0 must be finite, and std positive\."),
        ("std", -1.0, r"std=-1\.0 must be finite"),
        ("std", math.inf, r"std=inf must be finite"),
        ("mean", math.nan, r"mean=nan, std=0\.5 must be finite"),
    ],
)
def test_parts_that_do_not_fit_together_raise(numbered, part, value, message):
    with pytest.raises(ValueError, match=message):
        replace(numbered(3), **{part: value})


def test_tensors_on_several_devices_raise(numbered):
    on_meta = torch.zeros(3, 1, 4, 4, dtype=torch.uint8, device="meta")
    with pytest.raises(ValueError, match=r"must be on one device, not on \['cpu', 'meta'\]\."):
        replace(numbered(3), train_images=on_meta)


def test_an_image_set_is_printed_in_one_line(numbered):
    assert repr(numbered(3)) == (
        "Images('numbered': 3 train and 3 test images of shape (1, 4, 4), 3 classes, on cpu)"
    )


def test_num_classes_counts_labels_of_the_test_images_too():
    pixels = torch.zeros(10, 1, 4, 4, dtype=torch.uint8)
    images = Images("own", pixels[:5], torch.arange(5), pixels, torch.arange(10))
    assert images.classes == (0, 1, 2, 3, 4)
    assert images.num_classes == 10
