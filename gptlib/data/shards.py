"""Token shards: ids in files of equal length, described by a manifest, read as one line.

::

    FOLDER/  train-00000.npy …  validation-00000.npy …  shards.json

``shards.json`` lists the ids, size and sha256 of every shard and ends with its own hash. The header
of a shard follows from it, so that it is compared and never parsed. Ids stay on the disk until they
are asked for. :mod:`gptlib.data.sharding` writes such a folder.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gptlib.data.windows import windows
from gptlib.errors import ConfigError, Damaged, ShardError
from gptlib.files import BLOCK, check_files, manifest_bytes, read_manifest

INDEX = "shards.json"
VERSION = 1
HEADER = 128  # bytes before the ids: numpy aligns them to 64
LARGEST = {"<u2": 1 << 16, "<u4": 1 << 32}  # integer type → the vocabulary that just fits


@dataclass(frozen=True)
class Shard:
    """One file of token ids."""

    file: str
    split: str
    tokens: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ShardIndex:
    """What ``shards.json`` says."""

    vocab_size: int
    end_of_text: int | None
    tokenizer: dict[str, str]  # its name and fingerprint
    source: dict[str, str]  # what the documents are, and a fingerprint of them in their order
    splits: dict[str, dict[str, int]]  # documents and text_bytes of each
    shards: tuple[Shard, ...]

    @property
    def dtype(self) -> str:
        """The integer type of the ids."""
        return dtype_of(self.vocab_size)

    def of(self, split: str) -> list[Shard]:
        """The shards of one split, in order."""
        return [shard for shard in self.shards if shard.split == split]

    def to_bytes(self) -> bytes:
        """The content of ``shards.json``."""
        return manifest_bytes({"version": VERSION, **asdict(self)})


def dtype_of(vocab_size: int) -> str:
    """The smallest integer type that holds every id of a vocabulary.

    Raises:
        ShardError: none does.
    """
    for dtype, largest in LARGEST.items():
        if 0 < vocab_size <= largest:
            return dtype
    raise ShardError(
        f"a vocabulary of {vocab_size:,} tokens does not fit 1 to {LARGEST['<u4']:,} "
        f"(32-bit ids): use a smaller one"
    )


def header(dtype: str, tokens: int) -> bytes:
    """The beginning of a ``.npy`` file of some ids.

    Source: numpy.lib.format, version 1.0; spelled out, so that every numpy writes the same.
    """
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({tokens},), }}"
    length = (HEADER - 10).to_bytes(2, "little")
    return b"\x93NUMPY\x01\x00" + length + text.ljust(HEADER - 11).encode() + b"\n"


def read_index(folder: Path) -> ShardIndex:
    """The verified content of ``shards.json``; of the shards, names and sizes are looked at.

    Raises:
        ShardError: it is missing, altered or of another version, or a file is missing, added, no
            plain file or of another size.
    """
    try:
        values = read_manifest(folder / INDEX)
        if (found := values.pop("version", None)) != VERSION:
            raise ShardError(
                f"{folder} has version {found!r}, this gptlib reads {VERSION}: "
                f"use the gptlib that wrote it"
            )
        index = ShardIndex(**{**values, "shards": tuple(Shard(**s) for s in values["shards"])})
        check_files(folder / INDEX, {shard.file: shard.bytes for shard in index.shards})
    except Damaged as error:
        raise damaged(folder, error) from error
    except (TypeError, KeyError) as error:
        raise damaged(folder, f"{INDEX} makes no sense ({error})") from error
    return index


def damaged(folder: Path, what: str | Damaged) -> ShardError:
    """The error for a folder that is not as it was written."""
    return ShardError(f"{folder} is damaged: {what}: prepare it again in another folder")


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
    for shard in index.shards:
        check_shard(folder, index, shard)
    return index


def check_shard(folder: Path, index: ShardIndex, shard: Shard) -> None:
    """Read one shard once, in blocks: hash, header, ids."""
    highest, item = 0, np.dtype(index.dtype).itemsize
    try:
        with (folder / shard.file).open("rb") as file:
            start = file.read(HEADER)
            digest = hashlib.sha256(start)
            while block := file.read(BLOCK):
                digest.update(block)
                ids = np.frombuffer(block[: len(block) // item * item], index.dtype)
                highest = max(highest, int(ids.max(initial=0)))
    except OSError as error:
        raise damaged(folder, f"{shard.file} cannot be read ({error.strerror})") from error
    if digest.hexdigest() != shard.sha256:
        raise damaged(folder, f"{shard.file} was altered")
    if start != header(index.dtype, shard.tokens):
        raise damaged(folder, f"{shard.file} does not begin as its index says")
    if highest >= index.vocab_size:
        raise damaged(
            folder, f"{shard.file} holds id {highest:,}, the vocabulary {index.vocab_size:,}"
        )


def open_shards(folder: str | Path, split: str, index: ShardIndex | None = None) -> "TokenShards":
    """Map the ids of one split into memory; :func:`verify_shards` first, if they may be damaged.

    Args:
        folder: what ``write_shards`` has written.
        split: ``train``, ``validation`` or ``test``.
        index: what :func:`read_index` has returned, where it was called before.

    Raises:
        ShardError: see :func:`read_index`; or a header is wrong, or there is no such split.
            Hashes are not checked here.
    """
    folder = Path(folder)
    index = index or read_index(folder)
    shards, arrays = index.of(split), []
    if not shards:
        there = ", ".join(dict.fromkeys(shard.split for shard in index.shards))
        raise ShardError(f"{folder} has no split {split!r}: give one of {there}")
    for shard in shards:
        path = folder / shard.file
        try:
            with path.open("rb") as file:
                if file.read(HEADER) != header(index.dtype, shard.tokens):
                    raise damaged(folder, f"{shard.file} does not begin as its index says")
            arrays.append(np.memmap(path, index.dtype, "r", HEADER, (shard.tokens,)))
        except OSError as error:
            raise damaged(folder, f"{shard.file} cannot be read ({error.strerror})") from error
    fingerprint = hashlib.sha256("".join(shard.sha256 for shard in shards).encode()).hexdigest()
    return TokenShards(arrays, index.vocab_size, fingerprint)


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
