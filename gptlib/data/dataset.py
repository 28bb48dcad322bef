"""Windows over a long line of token ids, in an order that a seed and a place decide.

Nothing here remembers how far a run has come, so it resumes anywhere from one number, and the
order does not depend on the number of processes.
"""

import copy
import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from gptlib.errors import ConfigError, TextTooShort
from gptlib.tokenizer import Tokenizer


class TokenShards:
    """Token ids in several files, mapped into memory, that read as one line.

    Args:
        arrays: (n,) ids each, none of them empty.
        vocab_size: above every id.
        fingerprint: of the ids; they are not hashed again for every run.
    """

    def __init__(self, arrays: Sequence[np.ndarray], vocab_size: int, fingerprint: str) -> None:
        self.arrays = list(arrays)
        self.ends = list(accumulate(len(array) for array in arrays))
        self.vocab_size, self.fingerprint = vocab_size, fingerprint

    def __len__(self) -> int:
        """How many ids there are."""
        return self.ends[-1]

    def __getitem__(self, places: slice) -> Tensor:
        """The ids from ``places.start`` to before ``places.stop``, int64, across all borders."""
        start, stop, _ = places.indices(len(self))
        line = np.empty(max(0, stop - start), dtype=np.int64)
        filled, number = 0, bisect_right(self.ends, start)
        while filled < len(line):
            array = self.arrays[number]
            first = start + filled - (self.ends[number] - len(array))
            part = array[first : first + len(line) - filled]
            line[filled : filled + len(part)] = part
            filled, number = filled + len(part), number + 1
        return torch.from_numpy(line)


TokenIds = Sequence[int] | np.ndarray | Tensor | TokenShards  # N of them, on a line


@lru_cache(maxsize=2)  # a batch may end one epoch and begin the next
def epoch_order(n: int, seed: int, epoch: int) -> np.ndarray:
    """The order of `n` windows in one epoch: each once, and a new order every epoch.

    Args:
        n: how many windows there are.
        seed: the run's.
        epoch: 0, 1, 2 …; seed and epoch are the two halves of one key, so that no other pair
            gives the same order on purpose (their sum would).

    Returns:
        (n,) a permutation of 0 … n − 1, not to be written to.

    Source: Salmon et al. 2011, *Parallel Random Numbers: As Easy as 1, 2, 3* (Philox).
    """
    order = np.random.Generator(np.random.Philox(key=(seed, epoch))).permutation(n)
    order.flags.writeable = False
    return order


class TokenDataset:
    """Windows of T ids and, one id later, their T targets, cut from a line of N ids.

    There are (N − T − 1) // stride + 1 of them; ids at the end that do not fill a window and its
    last target are left out.

    Args:
        ids: N token ids: numbers, a tensor, or shards, which are left on the disk.
        context_length: T, the ids of one window.
        stride: the ids from one window's start to the next's; by default T, so that every id is
            predicted once. Smaller strides overlap.

    Raises:
        TextTooShort: N is below T + 1.
        ConfigError: T or the stride is below 1.
    """

    def __init__(self, ids: TokenIds, context_length: int, stride: int | None = None) -> None:
        T, stride = context_length, context_length if stride is None else stride
        if T < 1 or stride < 1:
            raise ConfigError(f"context_length {T} and stride {stride} must be 1 or more")
        if len(ids) < T + 1:
            raise TextTooShort(
                f"{len(ids):,} ids but one window of {T:,} and its last target need {T + 1:,}: "
                f"use a longer text or a shorter context"
            )
        if isinstance(ids, Sequence | np.ndarray | Tensor):
            ids = torch.as_tensor(ids, dtype=torch.long)  # (N,)
        self.ids, self.context_length = ids, context_length
        self.starts: Sequence[int] = range(0, len(ids) - T, stride)

    def __len__(self) -> int:
        """How many windows there are."""
        return len(self.starts)

    def __getitem__(self, rows: int | slice | Iterable[int]) -> tuple[Tensor, Tensor]:
        """Inputs and targets of one window, (T,) each, or of several, (B, T) each, int64."""
        if isinstance(rows, int | np.integer):
            x, y = self[[rows]]
            return x[0], y[0]
        rows = range(len(self))[rows] if isinstance(rows, slice) else rows
        starts, length = [self.starts[row] for row in rows], self.context_length + 1
        spans = torch.stack([self.ids[start : start + length] for start in starts])
        return spans[:, :-1].clone(), spans[:, 1:].clone()  # (B, T + 1) → (B, T) each

    def order(self, seed: int, epoch: int) -> np.ndarray:
        """In which order an epoch shows the windows, see :func:`epoch_order`."""
        return epoch_order(len(self), seed, epoch)

    def get_batch(self, position: int, batch_size: int, seed: int) -> tuple[Tensor, Tensor]:
        """The B windows, (B, T) each, that come after `position` others, epoch after epoch."""
        n = len(self)
        places = range(position, position + batch_size)
        return self[[self.order(seed, place // n)[place % n] for place in places]]

    def subset(self, rows: Iterable[int]) -> "TokenDataset":
        """Some of the windows, in the order given."""
        chosen = copy.copy(self)
        chosen.starts = [self.starts[row] for row in rows]
        return chosen


def fingerprint(*datasets: TokenDataset) -> str:
    """A sha256 of the windows of some datasets: equal for equal windows in equal order.

    Of ids in memory it reads the windows, of shards what their own hashes say.
    """
    digest = hashlib.sha256()
    for data in datasets:
        if isinstance(data.ids, TokenShards) and isinstance(data.starts, range):
            shape, stride = (len(data), data.context_length), data.starts.step
            for offset in (0, 1):  # of inputs and targets: as in checkpoints of earlier versions
                digest.update(f"{data.ids.fingerprint} {shape} {stride} {offset}".encode())
        else:
            for part in data[:]:
                digest.update(part.numpy().tobytes())
    return digest.hexdigest()


def encode_documents(tokenizer: Tokenizer, documents: Iterable[str]) -> list[int]:
    """Token ids of all documents, with the end-of-text id between them if there is one.

    Without it the model would be asked to predict one document's start from another's end.
    """
    ids: list[int] = []
    for number, document in enumerate(documents):
        if number and tokenizer.end_of_text is not None:
            ids.append(tokenizer.end_of_text)
        ids += tokenizer.encode(document)
    return ids
