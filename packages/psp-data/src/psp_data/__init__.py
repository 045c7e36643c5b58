"""Images as uint8 tensors, and streams over them for continual learning."""

from psp_data._images import Images as Images
from psp_data._incremental import IncrementalStream as IncrementalStream
from psp_data._load import load as load
from psp_data._permuting import PermutingStream as PermutingStream
from psp_data._presets import icifar as icifar
from psp_data._presets import split as split
from psp_data._presets import split_cifar100 as split_cifar100
from psp_data._presets import split_mnist as split_mnist
from psp_data._preview import preview as preview
from psp_data._rotating import RotatingStream as RotatingStream
from psp_data._stream import Stream as Stream

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
