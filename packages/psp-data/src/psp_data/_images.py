"""One image set, held whole."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor


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
        ValueError: If a shape, a dtype or a device does not fit the above.

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
        for part in ("train", "test"):
            pixels: Tensor = getattr(self, f"{part}_images")
            labels: Tensor = getattr(self, f"{part}_labels")
            if pixels.dtype != torch.uint8 or pixels.ndim != 4 or 0 in pixels.shape:
                raise ValueError(
                    f"{self.name}: {part}_images must be uint8 of shape (N, C, H, W) and not "
                    f"empty, but are {pixels.dtype} of shape {tuple(pixels.shape)}."
                )
            if labels.dtype != torch.int64 or labels.shape != pixels.shape[:1]:
                raise ValueError(
                    f"{self.name}: {part}_labels must be int64 of shape ({len(pixels)},), one for "
                    f"each image, but are {labels.dtype} of shape {tuple(labels.shape)}."
                )
            if labels.min() < 0:
                raise ValueError(
                    f"{self.name}: {part}_labels must not be negative, but hold {labels.min()}."
                )
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise ValueError(
                f"{self.name}: train images of shape {tuple(self.train_images.shape[1:])} do not "
                f"go with test images of shape {tuple(self.test_images.shape[1:])}."
            )
        tensors = (self.train_images, self.train_labels, self.test_images, self.test_labels)
        if len({tensor.device for tensor in tensors}) > 1:
            raise ValueError(f"{self.name}: its tensors lie on several devices; use one.")
        if not self.std > 0:
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
        return self.classes[-1] + 1

    def to(self, device: torch.device | str) -> "Images":
        """The same images on `device`; no copy if they lie there already."""
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

        Example:
            >>> from psp_data import load
            >>> digits = load("digits")  # mean 0.3060, std 0.3765
            >>> digits.scaled(digits.train_images[:1, 0, 0, :4])
            tensor([[-0.8127, -0.8127,  0.0205,  1.3433]])
        """
        floats = pixels.to(torch.float32, copy=True)
        return floats.mul_(1 / (255 * self.std)).sub_(self.mean / self.std)

    def unscaled(self, scaled: Tensor) -> Tensor:
        """The grey values 0..255 that `scaled` was made from, uint8, any shape."""
        grey = (scaled * self.std + self.mean) * 255
        return grey.round().clamp(0, 255).to(torch.uint8)

    def padded(self, side: int) -> "Images":
        """The images in the middle of a black square.

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
        return self._with_images(lambda pixels: F.pad(pixels, margins))

    def resized(self, side: int) -> "Images":
        """The images brought to another size, bilinear, rounded to whole grey values.

        Args:
            side: The new height and width in pixels.

        Raises:
            ValueError: If `side` is not positive.

        Example:
            >>> from psp_data import load
            >>> load("digits").resized(28).image_shape
            (1, 28, 28)
        """
        if side < 1:
            raise ValueError(f"resized({side}): the side must be at least 1 pixel.")

        def resize(pixels: Tensor) -> Tensor:
            floats = F.interpolate(pixels.float(), (side, side), mode="bilinear", antialias=True)
            return floats.round().clamp(0, 255).to(torch.uint8)

        return self._with_images(resize)

    def _with_images(self, change: Callable[[Tensor], Tensor]) -> "Images":
        return replace(
            self,
            train_images=change(self.train_images),
            test_images=change(self.test_images),
        )
