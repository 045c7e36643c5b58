"""Images as uint8 tensors, and the streams of continual learning over them."""

from psp_data._images import Images
from psp_data._incremental import IncrementalStream
from psp_data._load import load
from psp_data._permuting import PermutingStream
from psp_data._presets import icifar, split, split_cifar100, split_mnist
from psp_data._preview import preview
from psp_data._rotating import RotatingStream
from psp_data._stream import Stream

__all__ = [
    "Images",
    "IncrementalStream",
    "PermutingStream",
    "RotatingStream",
    "Stream",
    "icifar",
    "load",
    "preview",
    "split",
    "split_cifar100",
    "split_mnist",
]
