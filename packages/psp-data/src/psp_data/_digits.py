"""The handwritten digits that ship with scikit-learn."""

import torch
from torch import Tensor

from psp_data._random_order import random_order


def read_digits() -> dict[str, Tensor]:
    """Return the 1,797 digits of 8×8 pixels with a fixed, stratified split.

    The set has no official split. This one puts a fixed random order on the images, sorts it by
    class and takes every fifth image for the test set, which so holds a fifth of each class,
    to within one image. Both parts keep the original order of the images. The 17 grey levels
    0..16 are stretched to 0..255.

    Returns:
        `train_images` (1437, 1, 8, 8), `test_images` (360, 1, 8, 8), uint8, and their labels.

    Source:
        E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.
    """
    from sklearn.datasets import load_digits  # here, since importing it takes a second

    pixels, targets = load_digits(return_X_y=True)
    images = torch.from_numpy(pixels).mul(255 / 16).round().to(torch.uint8).view(-1, 1, 8, 8)
    labels = torch.from_numpy(targets).long()

    order = random_order(len(labels), "split of the digits")
    by_class = order[torch.argsort(labels[order], stable=True)]
    is_test = torch.zeros(len(labels), dtype=torch.bool, device="cpu")
    is_test[by_class[::5]] = True
    return {
        "train_images": images[~is_test],
        "train_labels": labels[~is_test],
        "test_images": images[is_test],
        "test_labels": labels[is_test],
    }
