"""Token shards as one line of ids, read from the disk where it is needed.

Written by :mod:`gptlib.data.sharding`, described and checked by :mod:`gptlib.data.shard_index`.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gptlib.data.shard_index import (
    HEADER,
    Shard,
    ShardIndex,
    check_files,
    check_shard,
    damaged,
    header,
    read_index,
)
from gptlib.data.windows import windows
from gptlib.errors import ConfigError, ShardError


class TokenShards:
    """The ids of one split: memory-mapped files that read as one line.

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

    def at(self, start: int, length: int) -> Tensor:
        """The `length` ids from place `start` on, int64, wherever shards begin and end.

        Raises:
            ConfigError: they reach beyond either end.
        """
        if start < 0 or length < 0 or start + length > len(self):
            raise ConfigError(
                f"{length:,} ids from place {start:,} on reach beyond the {len(self):,} that "
                f"there are: ask for fewer, or begin at 0 or later"
            )
        line = np.empty(length, dtype=np.int64)  # (length,)
        filled, number = 0, bisect_right(self.ends, start)
        while filled < length:
            array = self.arrays[number]
            first = start + filled - (self.ends[number] - len(array))
            part = array[first : first + length - filled]
            line[filled : filled + len(part)] = part
            filled, number = filled + len(part), number + 1
        return torch.from_numpy(line)

    def windows(
        self, context_length: int, stride: int | None = None
    ) -> tuple["ShardWindows", "ShardWindows"]:
        """Inputs and targets as :func:`gptlib.data.windows.windows` cuts them, left on the disk.

        Raises:
            TextTooShort: there are fewer ids than one window and its last target need.
            ConfigError: T or the stride is below 1.
        """
        line = torch.empty(len(self), dtype=torch.long, device="meta")  # (N,), without memory
        shape = windows(line, context_length, stride)[0].shape  # (n, T)
        stride = stride or context_length
        return ShardWindows(self, shape, stride, 0), ShardWindows(self, shape, stride, 1)


class ShardWindows:
    """Windows (n, T) that are read when they are asked for; `Batches` and `evaluate` take them.

    Args:
        ids: the line that is cut.
        shape: (n, T).
        stride: the ids from one window's start to the next's.
        offset: where the first window starts: 0 for inputs, 1 for targets.
    """

    def __init__(self, ids: TokenShards, shape: torch.Size, stride: int, offset: int) -> None:
        self.ids, self.shape, self.stride, self.offset = ids, shape, stride, offset

    @property
    def fingerprint(self) -> str:
        """Equal fingerprints, equal windows."""
        return f"{self.ids.fingerprint} {tuple(self.shape)} {self.stride} {self.offset}"

    def __len__(self) -> int:
        """How many windows there are."""
        return self.shape[0]

    def __getitem__(self, rows: int | slice | Tensor) -> Tensor:
        """One window (T,), or several (B, T), int64, by their numbers as in a tensor."""
        places = range(self.offset, self.offset + len(self) * self.stride, self.stride)
        if isinstance(rows, int):
            return self.ids.at(places[rows], self.shape[1])  # (T,)
        starts = places[rows] if isinstance(rows, slice) else [places[row] for row in rows.tolist()]
        lines = [self.ids.at(start, self.shape[1]) for start in starts]
        return torch.stack(lines) if lines else torch.empty(0, self.shape[1], dtype=torch.long)

    def split(self, batch_size: int) -> Iterator[Tensor]:
        """All windows in order, (batch_size, T) at a time, as a tensor's ``split`` gives them."""
        for first in range(0, len(self), batch_size):
            yield self[first : first + batch_size]

    def numel(self) -> int:
        """How many ids all windows have together."""
        return self.shape.numel()


def open_shards(folder: str | Path, split: str) -> TokenShards:
    """Map the ids of one split into memory; :func:`verify_shards` first, if they may be damaged.

    Args:
        folder: what ``write_shards`` has written.
        split: ``train``, ``validation`` or ``test``.

    Raises:
        ShardError: a file is missing, added, no plain file, or has another size or header; or
            there is no such split. Hashes are not checked here.
    """
    folder = Path(folder)
    index = read_index(folder)
    check_files(folder, index)
    return map_split(folder, index, split)


def map_split(folder: Path, index: ShardIndex, split: str) -> TokenShards:
    """The ids of one split of a folder whose index and files have been checked."""
    shards = index.of(split)
    if not shards:
        there = ", ".join(dict.fromkeys(shard.split for shard in index.shards))
        raise ShardError(f"{folder} has no split {split!r}: give one of {there}")
    fingerprint = hashlib.sha256("".join(shard.sha256 for shard in shards).encode()).hexdigest()
    arrays = [mapped(folder, index, shard) for shard in shards]
    return TokenShards(arrays, index.vocab_size, fingerprint)


def mapped(folder: Path, index: ShardIndex, shard: Shard) -> np.ndarray:
    """One shard's ids, on the disk."""
    try:
        with (folder / shard.file).open("rb") as file:
            if file.read(HEADER) != header(index.dtype, shard.tokens):
                raise damaged(folder, f"{shard.file} does not begin as its index says")
        array: np.ndarray = np.load(folder / shard.file, mmap_mode="r", allow_pickle=False)
        return array
    except OSError as error:
        raise damaged(folder, f"{shard.file} cannot be read ({error.strerror})") from error


def verify_shards(folder: str | Path) -> ShardIndex:
    """Check every byte of a folder of shards: at the start of a run, and after a copy.

    Returns:
        What ``shards.json`` says.

    Raises:
        ShardError: names the file that is missing, added, not a plain file, of another size,
            altered, of another type, or that holds an id that the vocabulary has not.
    """
    folder = Path(folder)
    index = read_index(folder)
    check_files(folder, index)
    for shard in index.shards:
        check_shard(folder, index, shard)
    return index
