"""Random orders as a pure function of a label, from a counter-based generator.

numpy guarantees the raw output of Philox across versions, but not its distributions, and
Python's own `hash` is salted. So an order is the stable sort of raw Philox output, keyed with a
digest of the label: the same in every process, on every device and with every version.
"""

import hashlib

import numpy as np
import torch
from torch import Tensor


def random_order(count: int, *label: object) -> Tensor:
    """Return a uniform permutation of 0..count-1 that depends on its label alone.

    Args:
        count: Length of the permutation.
        label: Purpose of the order, for example a word, a seed and an epoch. Its parts are
            converted with `str`.

    Returns:
        Shape (count,), int64, on the CPU.

    Example:
        >>> random_order(5, "an example", 1).tolist()
        [4, 3, 1, 0, 2]
        >>> random_order(5, "an example", 1).tolist()
        [4, 3, 1, 0, 2]
    """
    text = "\0".join(str(part) for part in label)
    key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")
    words = np.random.Philox(key=key).random_raw(count).view(np.int64)
    return torch.argsort(torch.from_numpy(words), stable=True)
