"""Rotation of whole batches."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def rotate(images: Tensor, degrees: float) -> Tensor:
    """Rotate images counter-clockwise about their centre, with black outside them.

    The interpolation is bilinear: each new pixel is the weighted mean of the four pixels around
    its source position, and pixels outside the image are black. All images share the angle, so
    they are rotated together as the channels of a single image.

    Args:
        images: Shape (N, C, H, W), uint8 or float.
        degrees: Any finite angle; multiples of 360 return the images exactly.

    Returns:
        The same shape, float32, in the range of `images`.

    Example:
        >>> import torch
        >>> image = torch.tensor([[[[1.0, 0.0], [2.0, 0.0]]]])
        >>> rotate(image, 90).round()
        tensor([[[[0., 0.],
                  [1., 2.]]]])
    """
    floats = images.to(torch.float32)
    if degrees % 360 == 0:
        return floats.clone() if floats is images else floats
    count, channels, height, width = images.shape
    grid = _sampling_grid(height, width, degrees).to(images.device)
    rotated = F.grid_sample(
        floats.reshape(1, count * channels, height, width), grid[None], align_corners=False
    )
    return rotated.view(images.shape)


def _sampling_grid(height: int, width: int, degrees: float) -> Tensor:
    """Return the source position (x, y) of each pixel, (H, W, 2).

    The unit is half the image, from its centre, as `grid_sample` expects. The arithmetic is
    float64 on the CPU until the last step, so that every device uses the same positions.
    """
    radians = math.radians(degrees % 360)
    cos, sin = math.cos(radians), math.sin(radians)
    y = torch.arange(height, dtype=torch.float64, device="cpu")[:, None] - (height - 1) / 2
    x = torch.arange(width, dtype=torch.float64, device="cpu") - (width - 1) / 2
    # Rows count downwards, which reverses the signs of the usual rotation matrix.
    source_x, source_y = cos * x - sin * y, sin * x + cos * y
    return torch.stack([source_x * (2 / width), source_y * (2 / height)], -1).float()
