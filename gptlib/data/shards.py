"""Token shards: ids in files of equal length, described by a manifest, read as one line.

::

    FOLDER/  train-00000.npy …  validation-00000.npy …  shards.json

``shards.json`` lists the ids, size and sha256 of every shard and ends with its own hash. The header
of a shard follows from it, so that it is compared and never parsed. Ids stay on the disk until they
are asked for. :mod:`gptlib.data.sharding` writes such a folder.
"""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from gptlib.data.dataset import TokenShards
from gptlib.errors import Damaged, ShardError
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


def open_shards(folder: str | Path, split: str, index: ShardIndex | None = None) -> TokenShards:
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
