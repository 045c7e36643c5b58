"""A train and a test set of images, held in memory."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Images:
    """Train and test images with their labels, as tensors on one device.

    Streams index these tensors and return copies; nothing writes to them. `load` returns a named
    set; build one directly from your own images.

    Args:
        name: Name of the set in error messages.
        train_images: Shape (N, C, H, W), uint8.
        train_labels: Shape (N,), int64, not negative.
        test_images: Shape (N', C, H, W), uint8.
        test_labels: Shape (N',), int64, not negative.
        mean: Mean that `scaled` subtracts, as a fraction of the grey scale 0..255.
        std: Standard deviation that `scaled` divides by, as a fraction of the grey scale. The
            defaults scale pixels to [−1, 1].

    Raises:
        ValueError: If a shape, a dtype, a device or a scale does not fit the above.

    Example:
        >>> import torch
        >>> images = torch.zeros(6, 1, 4, 4, dtype=torch.uint8)
        >>> labels = torch.tensor([0, 1, 2, 0, 1, 2])
        >>> Images("blank", images, labels, images[:3], labels[:3])
        Images('blank': 6 train and 3 test images of shape (1, 4, 4), 3 classes, on cpu)
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    mean: float = 0.5
    std: float = 0.5

    def __post_init__(self) -> None:
        """Check that the tensors and the scale fit together."""
        tensors = (self.train_images, self.train_labels, self.test_images, self.test_labels)
        devices = sorted({str(tensor.device) for tensor in tensors})
        if len(devices) > 1:
            raise ValueError(f"{self.name}: the tensors must be on one device, not on {devices}.")
        for part, pixels, labels in (("train", *tensors[:2]), ("test", *tensors[2:])):
            if pixels.dtype != torch.uint8 or pixels.ndim != 4 or 0 in pixels.shape:
                raise ValueError(
                    f"{self.name}: {part}_images must be uint8 of shape (N, C, H, W) and not "
                    f"empty, but are {pixels.dtype} of shape {tuple(pixels.shape)}."
                )
            if labels.dtype != torch.int64 or labels.shape != pixels.shape[:1]:
                raise ValueError(
                    f"{self.name}: {part}_labels must be int64 of shape ({len(pixels)},), "
                    f"but are {labels.dtype} of shape {tuple(labels.shape)}."
                )
            if labels.min() < 0:
                raise ValueError(f"{self.name}: {part}_labels hold {labels.min()}; use 0 or more.")
        shapes = [tuple(images.shape[1:]) for images in (self.train_images, self.test_images)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"{self.name}: train and test images differ in shape: {shapes}.")
        if not (math.isfinite(self.mean) and 0 < self.std < math.inf):
            scale = f"mean={self.mean}, std={self.std}"
            raise ValueError(f"{self.name}: {scale} must be finite, and std positive.")

    def __repr__(self) -> str:
        """Summarise the set in one line, without its pixels."""
        return (
            f"Images({self.name!r}: {len(self.train_labels)} train and {len(self.test_labels)} "
            f"test images of shape {self.image_shape}, {len(self.classes)} classes, "
            f"on {self.device})"
        )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width

    @property
    def device(self) -> torch.device:
        """Device of the tensors."""
        return self.train_images.device

    @cached_property
    def classes(self) -> tuple[int, ...]:
        """Labels that occur in the train set, in ascending order."""
        return tuple(self.train_labels.unique().tolist())

    @property
    def num_classes(self) -> int:
        """Number of outputs that a head needs for these labels: the largest label plus one."""
        return int(max(labels.max() for labels in (self.train_labels, self.test_labels))) + 1

    def to(self, device: torch.device | str) -> "Images":
        """Return the images on `device`, without a copy if they are there already."""
        return replace(
            self,
            train_images=self.train_images.to(device),
            train_labels=self.train_labels.to(device),
            test_images=self.test_images.to(device),
            test_labels=self.test_labels.to(device),
        )

    def scaled(self, pixels: Tensor) -> Tensor:
        """Scale grey values 0..255 for a network: (pixels / 255 − mean) / std.

        The result has the same bits on every device, since it takes one product and one
        difference, each rounded as in IEEE 754.

        Args:
            pixels: Any shape, uint8, or float of the same range.

        Returns:
            The same shape, float32, in newly allocated memory.

        Raises:
            TypeError: If the pixels are neither uint8 nor floating.

        Example:
            >>> from psp_data import load
            >>> digits = load("digits")  # mean 0.3060, std 0.3765
            >>> digits.scaled(digits.train_images[:1, 0, 0, :4])
            tensor([[-0.8127, -0.8127,  0.0205,  1.3433]])
        """
        if not (pixels.dtype == torch.uint8 or pixels.is_floating_point()):
            raise TypeError(f"pixels must be uint8 or floating, but are {pixels.dtype}.")
        floats = pixels.to(torch.float32, copy=True)
        return floats.mul_(1 / (255 * self.std)).sub_(self.mean / self.std)

    def unscaled(self, scaled: Tensor) -> Tensor:
        """Undo `scaled`: return the grey values 0..255, uint8, of any shape.

        Raises:
            TypeError: If `scaled` is not a floating tensor.
        """
        if not scaled.is_floating_point():
            raise TypeError(f"scaled samples must be floating, but are {scaled.dtype}.")
        grey = (scaled * self.std + self.mean) * 255
        return grey.round().clamp(0, 255).to(torch.uint8)

    def padded(self, side: int) -> "Images":
        """Return the images centred in a black square.

        Args:
            side: Height and width of the square in pixels, at least those of the images. Where
                the margin is odd, the larger half goes to the right and the bottom.

        Raises:
            ValueError: If the images do not fit.

        Example:
            >>> from psp_data import load
            >>> load("digits").padded(28).image_shape
            (1, 28, 28)
        """
        _, height, width = self.image_shape
        if side < max(height, width):
            raise ValueError(
                f"padded({side}): {self.name} has images of {height}×{width} pixels; pad to "
                f"{max(height, width)} or more, or use resized({side})."
            )
        left, top = (side - width) // 2, (side - height) // 2
        margins = (left, side - width - left, top, side - height - top)
        return self._map_images(lambda pixels: F.pad(pixels, margins))

    def resized(self, side: int) -> "Images":
        """Return the images resized with bilinear interpolation, rounded to whole grey values.

        Args:
            side: New height and width in pixels.

        Example:
            >>> from psp_data import load
            >>> load("digits").resized(28).image_shape
            (1, 28, 28)
        """

        def resize(pixels: Tensor) -> Tensor:
            floats = F.interpolate(pixels.float(), (side, side), mode="bilinear", antialias=True)
            return floats.round().clamp(0, 255).to(torch.uint8)

        # Resize a thousand at a time, since floats take four times the memory.
        return self._map_images(lambda pixels: torch.cat([*map(resize, pixels.split(1000))]))

    def _map_images(self, change: Callable[[Tensor], Tensor]) -> "Images":
        return replace(
            self,
            train_images=change(self.train_images),
            test_images=change(self.test_images),
        )
