"""Sets of 64-bit hashes: one that fits memory and errs, one that is exact."""

from collections.abc import Iterable

import numpy as np

BITS = 16  # of the table for each hash, two of them set: 1 in 70 others is taken for one of its own
WAITING = 1 << 22  # hashes kept twice before they are sorted: 32 MB


class SpanFilter:
    """A set that answers "no" rightly and "yes" wrongly now and then.

    Source: Bloom 1970, *Space/Time Trade-offs in Hash Coding with Allowable Errors*.

    Args:
        n: how many hashes it is made for; with more it errs more often.
    """

    def __init__(self, n: int) -> None:
        self.size = max(3, (BITS * n).bit_length())  # the table has 2^size bits
        self.table = np.zeros(1 << (self.size - 3), dtype=np.uint8)

    def add(self, hashes: np.ndarray) -> None:
        """Take in (n,) hashes."""
        for which in range(2):
            byte, bit = self.place(hashes, which)
            np.bitwise_or.at(self.table, byte, bit)

    def may_hold(self, hashes: np.ndarray) -> np.ndarray:
        """Which of (n,) hashes may be in the set: (n,) booleans, and no False is wrong."""
        held = np.ones(len(hashes), dtype=bool)
        for which in range(2):  # the second bit is looked up only where the first is set
            byte, bit = self.place(hashes[held], which)
            held[held] = self.table[byte] & bit > 0
        return held

    def place(self, hashes: np.ndarray, which: int) -> tuple[np.ndarray, np.ndarray]:
        """The byte of the table and the bit in it, (n,) each, that the first or second half gives.

        A table of up to 2^32 bits, half a gigabyte, is reached.
        """
        place = hashes << np.uint64(32 * which) >> np.uint64(64 - self.size)
        return place >> np.uint64(3), np.uint8(1) << (place & np.uint64(7)).astype(np.uint8)


def distinct(arrays: Iterable[np.ndarray]) -> np.ndarray:
    """The hashes of all arrays, sorted, each once; repeats take no memory for long."""
    known, waiting = np.empty(0, dtype=np.uint64), []
    for array in arrays:
        waiting.append(np.unique(array))  # text that repeats itself shrinks at once
        if sum(map(len, waiting)) > WAITING + len(known):
            known, waiting = np.unique(np.concatenate([known, *waiting])), []
    return np.unique(np.concatenate([known, *waiting]))


def among(hashes: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which of (n,) hashes are among some that are sorted: (n,) booleans."""
    if len(known) == 0:
        return np.zeros(len(hashes), dtype=bool)
    places = np.searchsorted(known[:-1], hashes)  # without the last: a place for every hash
    found: np.ndarray = known[places] == hashes
    return found
