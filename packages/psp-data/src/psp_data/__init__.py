"""Images as uint8 tensors, and the streams of continual learning over them."""

from psp_data._images import Images
from psp_data._load import load
from psp_data._permuting import PermutingStream
from psp_data._stream import Stream

__all__ = ["Images", "PermutingStream", "Stream", "load"]
