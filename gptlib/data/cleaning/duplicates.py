"""Rows that were there before, and rows nearly like one that was.

Both remember across calls: one object serves one corpus.
"""

import hashlib
from typing import Any

from gptlib.errors import ConfigError

SHINGLE = 5  # characters; short rows have too few words to compare by words
PERMUTATIONS = 128  # standard error of the estimated overlap: 1/√128 = 0.09


class ExactDuplicates:
    """Drop a row that equals an earlier one.

    It keeps 16 bytes of hash for each row it has seen, not the row: about 80 bytes of memory with
    Python's set around them, 80 MB for a million rows. That two of 2^32 different rows share a
    hash has the probability 2^-65.
    """

    name = "exact duplicates"

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def __call__(self, text: str) -> str | None:
        """Return the text where it is new."""
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if digest in self._seen:
            return None
        self._seen.add(digest)
        return text


class NearDuplicates:
    """Drop a row that shares most of its five-letter spans with an earlier one.

    Overlap is estimated (MinHash), and only rows that fall into a common bucket are compared
    (locality-sensitive hashing), so a pair near the threshold may go either way, and the time per
    row does not grow with the corpus. Memory is a few kilobytes a row.

    Args:
        threshold: the share of spans in common (Jaccard) from which a row is a near-duplicate.

    Raises:
        ConfigError: datasketch is not installed, or a threshold outside (0, 1).

    Source: Leskovec, Rajaraman, Ullman, *Mining of Massive Datasets*, chapter 3.
    """

    name = "near-duplicates"

    def __init__(self, threshold: float = 0.8) -> None:
        try:
            import datasketch  # brings scipy, 140 MB: only who asks for it needs it
        except ImportError as error:
            raise ConfigError(
                f"near-duplicates need a package that is not here ({error}): "
                "pip install datasketch, or leave near-duplicates in"
            ) from error
        if not 0 < threshold < 1:
            raise ConfigError(f"near-duplicates from {threshold} on: give a share between 0 and 1")
        self.threshold = threshold
        self._hash_of: Any = datasketch.MinHash
        self._index: Any = datasketch.MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS)
        self._count = 0

    def __call__(self, text: str) -> str | None:
        """Return the text where no earlier one is nearly like it."""
        sketch = self._hash_of(num_perm=PERMUTATIONS)
        sketch.update_batch(shingles(text))
        if self._index.query(sketch):
            return None
        self._index.insert(self._count, sketch, check_duplication=False)
        self._count += 1
        return text


def shingles(text: str) -> list[bytes]:
    """The different spans of five letters or digits, without case, spaces and punctuation."""
    level = "".join(filter(str.isalnum, text.casefold()))
    spans = {level[i : i + SHINGLE] for i in range(max(1, len(level) - SHINGLE + 1))}
    return [span.encode() for span in spans]
