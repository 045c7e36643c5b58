"""Random numbers as a pure function of (seed, name, index), from a counter-based generator.

numpy keeps the raw words of Philox stable between releases, but not the results of its
distributions. So everything here is made from raw words. Signs, permutations and phases are the
same bits on every machine. Haar matrices end in a QR factorisation: the same bits on one machine,
whatever its number of threads, and equal to rounding between linear algebra libraries.
"""

import hashlib
import math
from threading import Lock

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor

_THREAD_COUNT = Lock()
"""Held while the number of torch's threads, which the whole process shares, is changed."""


class Source:
    """An endless stream of random words for every index.

    Two sources with the same label are the same source, in every process. (Python's own `hash` is
    salted and not used.) Stream `index` starts at the counter (0, 0, 0, index), so that a draw
    for one index costs nothing for the indices before it.

    Args:
        label: Name of the source in parts, for example family, layer and seed.
    """

    def __init__(self, *label: object) -> None:
        text = "\0".join(str(part) for part in label)
        self._key = int.from_bytes(
            hashlib.blake2b(text.encode(), digest_size=16).digest(), "little"
        )

    def words(self, index: int, count: int) -> np.ndarray:
        """Return the first `count` 64-bit words of stream `index`, shape (count,), uint64."""
        generator = np.random.Philox(key=self._key, counter=[0, 0, 0, index])
        return np.asarray(generator.random_raw(count))

    def signs(self, index: int, count: int) -> Tensor:
        """Return independent ±1, one bit of a word each, shape (count,), int8."""
        words = self.words(index, -(-count // 64)).astype("<u8")
        bits = np.unpackbits(words.view(np.uint8), count=count, bitorder="little")
        return torch.from_numpy(1 - 2 * bits.astype(np.int8))

    def phases(self, index: int, count: int) -> Tensor:
        """Return independent numbers, uniform on [-π, π), shape (count,), float64."""
        return torch.from_numpy((self._units(index, count) - 0.5) * (2 * math.pi))

    def permutation(self, index: int, count: int) -> Tensor:
        """Return a uniform permutation of 0..count-1, shape (count,), int64."""
        return torch.from_numpy(np.argsort(self.words(index, count), kind="stable"))

    def haar(self, index: int, blocks: int, size: int) -> Tensor:
        """Return independent Haar matrices on O(size), shape (blocks, size, size), float64.

        The QR factorisation of a Gaussian matrix with the signs of R's diagonal divided out is
        Haar (Mezzadri 2006, the paper's reference 13; what `scipy.stats.ortho_group` does).
        """
        gaussian = torch.from_numpy(ndtri(self._units(index, blocks * size * size)))
        with _THREAD_COUNT:
            threads = torch.get_num_threads()
            torch.set_num_threads(1)  # LAPACK's last bit depends on the number of threads
            try:
                q, r = torch.linalg.qr(gaussian.view(blocks, size, size))
            finally:
                torch.set_num_threads(threads)
        haar: Tensor = q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
        return haar

    def _units(self, index: int, count: int) -> np.ndarray:
        """Return uniform numbers on (0, 1), each the middle of one of 2**53 cells, float64."""
        units = ((self.words(index, count) >> np.uint64(11)) + 0.5) * 2.0**-53
        # In float64 the middle of the last cell is rounded to 1.
        return np.asarray(np.minimum(units, 1 - 2.0**-53))
