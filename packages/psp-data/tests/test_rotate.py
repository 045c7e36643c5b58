import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from psp_data._rotate import rotate

# The same cases in every run, and no deadline, since the machine may be busy.
exact = settings(deadline=None, derandomize=True, database=None, max_examples=25)

angles = st.floats(-1000, 1000)
sides = st.integers(1, 9)


def random_pixels(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


@exact
@given(
    degrees=angles, height=sides, width=sides, channels=st.integers(1, 3), seed=st.integers(0, 9)
)
def test_rotation_agrees_with_scipy(degrees, height, width, channels, seed):
    pixels = random_pixels(2, channels, height, width, seed=seed)
    # The surroundings are black, and the outermost pixels are blended with them.
    expected = ndimage.rotate(
        pixels.double().numpy(),
        degrees,
        axes=(3, 2),
        reshape=False,
        order=1,
        mode="grid-constant",
        cval=0,
    )
    # Rounding a position to float32 moves the mean of four grey values by about 1e-5 of 255.
    np.testing.assert_allclose(rotate(pixels, degrees).numpy(), expected, rtol=0, atol=5e-3)


@exact
@given(turns=st.integers(-3, 3))
def test_whole_turns_return_the_image_exactly(turns):
    pixels = random_pixels(2, 1, 7, 5)
    assert torch.equal(rotate(pixels, 360.0 * turns), pixels.float())


@exact
@given(turns=st.integers(-3, 3), degrees=st.integers(0, 359))
def test_whole_turns_can_be_added_to_an_angle(turns, degrees):
    pixels = random_pixels(2, 1, 7, 5)
    assert torch.equal(rotate(pixels, degrees + 360 * turns), rotate(pixels, degrees))


@exact
@given(quarters=st.integers(-4, 4), side=sides)
def test_quarter_turns_go_counter_clockwise(quarters, side):
    pixels = random_pixels(2, 1, side, side)
    expected = torch.rot90(pixels, quarters, (2, 3)).float()
    torch.testing.assert_close(rotate(pixels, 90 * quarters), expected, rtol=0, atol=5e-3)


@exact
@given(degrees=angles)
def test_rotation_stays_in_the_range_of_the_pixels(degrees):
    rotated = rotate(random_pixels(3, 1, 8, 8), degrees)
    assert rotated.min() >= 0
    assert rotated.max() <= 255.001


@pytest.mark.parametrize("degrees", [0.0, 33.0])
def test_rotation_does_not_change_its_input(degrees):
    images = random_pixels(2, 1, 4, 4).float()
    before = images.clone()
    rotate(images, degrees).zero_()
    assert torch.equal(images, before)


@exact
@given(degrees=angles)
def test_a_batch_is_rotated_like_its_single_images(degrees):
    pixels = random_pixels(3, 2, 6, 6)
    one_by_one = torch.cat([rotate(image[None], degrees) for image in pixels])
    assert torch.equal(rotate(pixels, degrees), one_by_one)
