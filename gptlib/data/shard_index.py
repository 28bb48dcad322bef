"""``shards.json``: what lies in a folder of token shards, and whether it still does.

The index lists every shard's size and sha256 and ends with its own hash. A shard is a ``.npy``
file whose header follows from the index, so it is compared and never parsed.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from gptlib.data.split import SPLITS
from gptlib.errors import ShardError
from gptlib.files import BLOCK, sealed_bytes, wrong_file, wrong_names

INDEX = "shards.json"
VERSION = 1
LARGEST_INDEX = 8 << 20  # bytes: some 40,000 shards
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
        return sealed_bytes({"version": VERSION, **asdict(self)})


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


def file_name(split: str, number: int) -> str:
    """The name of a split's shard."""
    return f"{split}-{number:05d}.npy"


def read_index(folder: Path) -> ShardIndex:
    """The verified content of ``shards.json``; the shards are not looked at.

    Raises:
        ShardError: it is missing, altered, or makes no sense.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise damaged(folder, "it is missing, a link or a file, not a folder")
    check_plain(folder / INDEX)
    try:
        content = (folder / INDEX).read_bytes()
        values = json.loads(content)
        values.pop("sha256")
        intact = content == sealed_bytes(values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(folder, f"{INDEX} cannot be read") from error
    if not intact:
        raise damaged(folder, f"{INDEX} was altered")
    if (found := values.pop("version", None)) != VERSION:
        raise ShardError(
            f"{folder} has version {found!r}, this gptlib reads {VERSION}: "
            f"use the gptlib that wrote it"
        )
    try:
        index = ShardIndex(**{**values, "shards": tuple(Shard(**s) for s in values["shards"])})
        check_index(index)
    except (TypeError, KeyError, AttributeError, ValueError, ShardError) as error:
        raise damaged(folder, f"{INDEX} makes no sense ({error})") from error
    return index


def check_index(index: ShardIndex) -> None:
    """Refuse numbers and names that no writer gives; a name could lead out of the folder."""
    item = np.dtype(index.dtype).itemsize
    if type(index.vocab_size) is not int:
        raise ValueError(f"vocab_size {index.vocab_size!r}")
    if index.end_of_text is not None and index.end_of_text not in range(index.vocab_size):
        raise ValueError(f"end_of_text {index.end_of_text!r}")
    names = [file_name(split, n) for split in SPLITS for n in range(len(index.of(split)))]
    if sorted(shard.file for shard in index.shards) != sorted(names):
        raise ValueError("its files are not numbered split by split")
    for shard in index.shards:
        if shard.file.rpartition("-")[0] != shard.split:
            raise ValueError(f"{shard.file} in the split {shard.split!r}")
        sound = type(shard.tokens) is int and shard.tokens > 0
        if not sound or shard.bytes != HEADER + item * shard.tokens:
            raise ValueError(f"{shard.file} with {shard.tokens!r} ids, {shard.bytes!r} bytes")
        if not re.fullmatch("[0-9a-f]{64}", shard.sha256):
            raise ValueError(f"{shard.file} with sha256 {shard.sha256!r}")


def check_names(folder: Path, index: ShardIndex) -> None:
    """Refuse a folder that holds other files than its index lists."""
    if wrong := wrong_names(folder, {INDEX, *(shard.file for shard in index.shards)}):
        raise ShardError(
            f"{folder} is damaged: {wrong}: remove what was added; if something is missing, "
            f"prepare it again in another folder"
        )


def check_plain(path: Path, size: int | None = None) -> None:
    """Refuse what is no plain file of this size; the index alone has a size that nobody knows."""
    if wrong := wrong_file(path, size, LARGEST_INDEX):
        raise damaged(path.parent, wrong)


def check_files(folder: Path, index: ShardIndex) -> None:
    """Refuse files that are missing, added, not plain, or of another size."""
    check_names(folder, index)
    for shard in index.shards:
        check_plain(folder / shard.file, shard.bytes)


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


def damaged(folder: Path, what: str) -> ShardError:
    """The error for a folder that is not as it was written."""
    return ShardError(f"{folder} is damaged: {what}: prepare it again in another folder")
