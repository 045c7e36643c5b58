"""Rotation of whole batches."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def rotate(images: Tensor, degrees: float) -> Tensor:
    """The images turned counter-clockwise about their middle, with black around them.

    Bilinear: each new pixel is the weighted mean of the four old ones about the place it comes
    from, and what lies outside is black. All images share the angle, so the places and weights
    are found once, and the images are turned together as the channels of a single one.

    Args:
        images: Shape (N, C, H, W), uint8 or float.
        degrees: The angle, finite, of any size and sign; whole turns give the images back exactly.

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
    turned = F.grid_sample(
        floats.reshape(1, count * channels, height, width), grid[None], align_corners=False
    )
    return turned.view(images.shape)


def _sampling_grid(height: int, width: int, degrees: float) -> Tensor:
    """Where each new pixel comes from, (H, W, 2) as (x, y), in halves of the image from its middle.

    In float64 until the last step, and on the CPU, so that every device gets the same places.
    """
    radians = math.radians(degrees % 360)
    cos, sin = math.cos(radians), math.sin(radians)
    y = torch.arange(height, dtype=torch.float64, device="cpu")[:, None] - (height - 1) / 2
    x = torch.arange(width, dtype=torch.float64, device="cpu") - (width - 1) / 2
    # Rows count downwards, which turns the signs of the usual matrix round.
    from_x, from_y = cos * x - sin * y, sin * x + cos * y
    return torch.stack([from_x * (2 / width), from_y * (2 / height)], -1).float()
