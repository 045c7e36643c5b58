"""Random orders as a pure function of their label, from a counter-based generator.

numpy promises the raw words of Philox for ever, but not what its distributions make of them, and
Python's own `hash` is salted. So an order is the stable sort of raw words under a key digested
from the label: the same in every process, on every device and on any day.
"""

import hashlib

import numpy as np
import torch
from torch import Tensor


def random_order(count: int, *label: object) -> Tensor:
    """A uniform permutation of 0..count-1, fixed by its label.

    Args:
        count: How many things to put in order.
        label: What the order is for, for example a purpose, a seed and an epoch; its parts are
            told apart by their text.

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
