"""One image set, held whole."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from psp_data._arguments import (
    check_type,
    checked_device,
    checked_integer,
    checked_number,
    checked_tensor,
)

MOST_BYTES = 2**33
"""As much as `padded` and `resized` may make of a set."""


@dataclass(frozen=True, eq=False, repr=False)
class Images:
    """A train and a test set of images with their labels, whole, on one device.

    Streams index these tensors and hand out copies; nothing writes to them. `load` fills one
    from a named set; any other images go in by hand.

    Args:
        name: What errors call the set.
        train_images: Shape (N, C, H, W), uint8.
        train_labels: Shape (N,), int64, not negative.
        test_images: Shape (N', C, H, W), uint8.
        test_labels: Shape (N',), int64, not negative.
        mean: What `scaled` subtracts, as a fraction of the full grey scale 0..255.
        std: What `scaled` divides by afterwards, likewise. The defaults take the pixels to
            [−1, 1].

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If a shape, a dtype, a device or a number does not fit the above.

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
        """Refuse what is not an image set, saying which part is wrong."""
        check_type("name", self.name, str, "a str")
        tensors = [self.train_images, self.train_labels, self.test_images, self.test_labels]
        if all(isinstance(tensor, Tensor) for tensor in tensors):
            if len({tensor.device for tensor in tensors}) > 1:
                raise ValueError(
                    f"{self.name}: train_images, train_labels, test_images and test_labels lie on "
                    "several devices; use one."
                )
        for part in ("train", "test"):
            pixels = checked_tensor(f"{part}_images", getattr(self, f"{part}_images"))
            labels = checked_tensor(f"{part}_labels", getattr(self, f"{part}_labels"))
            if pixels.dtype != torch.uint8 or pixels.ndim != 4 or 0 in pixels.shape:
                raise ValueError(
                    f"{self.name}: {part}_images must be uint8 of shape (N, C, H, W) and not "
                    f"empty, but are {pixels.dtype} of shape {tuple(pixels.shape)}."
                )
            if labels.dtype != torch.int64 or labels.shape != pixels.shape[:1]:
                raise ValueError(
                    f"{self.name}: {part}_labels must be int64 of shape ({len(pixels)},), one for "
                    f"each of {part}_images, but are {labels.dtype} of shape {tuple(labels.shape)}."
                )
            if labels.min() < 0:
                raise ValueError(
                    f"{self.name}: {part}_labels must not be negative, but hold {labels.min()}."
                )
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise ValueError(
                f"{self.name}: train_images of shape {tuple(self.train_images.shape[1:])} do not "
                f"go with test_images of shape {tuple(self.test_images.shape[1:])}."
            )
        checked_number("mean", self.mean)
        if not checked_number("std", self.std) > 0:
            raise ValueError(f"{self.name}: std={self.std} must be positive.")

    def __repr__(self) -> str:
        """The set in one line; its pixels would fill the screen."""
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
        """Where the tensors lie."""
        return self.train_images.device

    @cached_property
    def classes(self) -> tuple[int, ...]:
        """The labels that occur in the train set, in ascending order."""
        return tuple(self.train_labels.unique().tolist())

    @property
    def num_classes(self) -> int:
        """How many outputs a head needs for these labels: the largest label, and one."""
        return int(max(labels.max() for labels in (self.train_labels, self.test_labels))) + 1

    def to(self, device: torch.device | str) -> "Images":
        """The same images on `device`; no copy if they lie there already.

        Raises:
            TypeError: If `device` is no device.
            ValueError: If it is not there.
        """
        device = checked_device("device", device)
        return replace(
            self,
            train_images=self.train_images.to(device),
            train_labels=self.train_labels.to(device),
            test_images=self.test_images.to(device),
            test_labels=self.test_labels.to(device),
        )

    def scaled(self, pixels: Tensor) -> Tensor:
        """Grey values 0..255 as a network wants them: (pixels / 255 − mean) / std.

        One product and one difference, each rounded as IEEE 754 says, so the result has the
        same bits on every device.

        Args:
            pixels: Any shape, uint8, or float of the same range.

        Returns:
            The same shape, float32, in newly allocated memory.

        Raises:
            TypeError: If the pixels are no such tensor.

        Example:
            >>> from psp_data import load
            >>> digits = load("digits")  # mean 0.3060, std 0.3765
            >>> digits.scaled(digits.train_images[:1, 0, 0, :4])
            tensor([[-0.8127, -0.8127,  0.0205,  1.3433]])
        """
        check_type("pixels", pixels, Tensor, "a tensor")
        if not (pixels.dtype == torch.uint8 or pixels.is_floating_point()):
            raise TypeError(f"pixels must be uint8 or floating, but are {pixels.dtype}.")
        floats = pixels.to(torch.float32, copy=True)
        return floats.mul_(1 / (255 * self.std)).sub_(self.mean / self.std)

    def unscaled(self, scaled: Tensor) -> Tensor:
        """The grey values 0..255 that `scaled` was made from, uint8, any shape.

        Raises:
            TypeError: If `scaled` is no floating tensor.
        """
        check_type("scaled", scaled, Tensor, "a tensor")
        if not scaled.is_floating_point():
            raise TypeError(f"scaled must be floating, but is {scaled.dtype}.")
        grey = (scaled * self.std + self.mean) * 255
        return grey.round().clamp(0, 255).to(torch.uint8)

    def padded(self, side: int) -> "Images":
        """The images in the middle of a black square.

        Args:
            side: Height and width of the square in pixels, at least those of the images. Where
                the margin is odd, the larger half goes to the right and the bottom.

        Raises:
            TypeError: If `side` is no integer.
            ValueError: If the images do not fit, or would take more than 8 GiB.

        Example:
            >>> from psp_data import load
            >>> load("digits").padded(28).image_shape
            (1, 28, 28)
        """
        side, (_, height, width) = self._checked_side(side), self.image_shape
        if side < max(height, width):
            raise ValueError(
                f"padded({side}): side is too small, {self.name} has images of {height}×{width} "
                f"pixels; pad to {max(height, width)} or more, or use resized({side})."
            )
        left, top = (side - width) // 2, (side - height) // 2
        margins = (left, side - width - left, top, side - height - top)
        return self._with_images(lambda pixels: F.pad(pixels, margins))

    def resized(self, side: int) -> "Images":
        """The images brought to another size, bilinear, rounded to whole grey values.

        Args:
            side: The new height and width in pixels.

        Raises:
            TypeError: If `side` is no integer.
            ValueError: If it is not positive, or the images would take more than 8 GiB.

        Example:
            >>> from psp_data import load
            >>> load("digits").resized(28).image_shape
            (1, 28, 28)
        """
        side = self._checked_side(side)
        if side < 1:
            raise ValueError(f"resized({side}): side must be at least 1 pixel.")

        def resize(pixels: Tensor) -> Tensor:
            floats = F.interpolate(pixels.float(), (side, side), mode="bilinear", antialias=True)
            return floats.round().clamp(0, 255).to(torch.uint8)

        # Some at a time, since as floats they take four times the room.
        return self._with_images(lambda pixels: torch.cat([*map(resize, pixels.split(1000))]))

    def _checked_side(self, side: int) -> int:
        side = checked_integer("side", side)
        count = len(self.train_images) + len(self.test_images)
        if count * self.image_shape[0] * side**2 > MOST_BYTES:
            raise ValueError(
                f"side={side} would make {count} images of {side}×{side} pixels of {self.name}, "
                f"more than {MOST_BYTES >> 30} GiB; use a smaller side, or fewer images."
            )
        return side

    def _with_images(self, change: Callable[[Tensor], Tensor]) -> "Images":
        return replace(
            self,
            train_images=change(self.train_images),
            test_images=change(self.test_images),
        )


def images_on(device: torch.device | str | None, images: Images) -> Images:
    """The images of a stream, on the device that was asked for; by default where they lie.

    Raises:
        TypeError, ValueError: If the arguments are none of a stream.
    """
    check_type("images", images, Images, "Images, as load() gives them")
    return images if device is None else images.to(device)
