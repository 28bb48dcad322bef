"""Token shards: ids in files of equal length, described by a manifest, read as one line.

::

    FOLDER/  train-00000.npy …  validation-00000.npy …  shards.json

``shards.json`` lists the ids, size and sha256 of every shard and ends with its own hash. The header
of a shard follows from it, so that it is compared and never parsed. Ids stay on the disk until they
are asked for. When shards are written, memory does not grow with the documents.
"""

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from tqdm import tqdm

from gptlib import environment
from gptlib.data.dataset import TokenShards
from gptlib.data.split import SPLITS
from gptlib.errors import CorpusError, Damaged, ShardError
from gptlib.files import check_files, file_facts, manifest_bytes, read_manifest, sha256_of
from gptlib.tokenizer import END_OF_TEXT, Tokenizer
from gptlib.tokenizer.bpe import safe_chunks
from gptlib.tokenizer.tokenizers import out_of_range

INDEX = "shards.json"
VERSION = 1
HEADER = 128  # bytes before the ids: numpy aligns them to 64
LARGEST = {"<u2": 1 << 16, "<u4": 1 << 32}  # integer type → the vocabulary that just fits
BATCH = 1 << 18  # characters that a thread encodes at a time: a few hundredths of a second

Counts = dict[str, dict[str, int]]  # split → documents and bytes of text
Lines = dict[str, np.ndarray]  # split → (N,) its ids
Batch = list[str | None]  # pieces of text, and None where a document ends


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
    splits: Counts
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
    """The smallest integer type that holds every id of a vocabulary; ShardError if none does."""
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


# Reading


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

    Raises:
        ShardError: names the file that is missing, added, not a plain file, of another size,
            altered, of another type, or that holds an id that the vocabulary has not.
    """
    folder = Path(folder)
    index = read_index(folder)
    for shard in index.shards:
        ids = map_shard(folder, index, shard)
        if sha256_of(folder / shard.file) != shard.sha256:
            raise damaged(folder, f"{shard.file} was altered")
        if (highest := int(ids.max(initial=0))) >= index.vocab_size:
            raise damaged(
                folder, f"{shard.file} holds id {highest:,}, the vocabulary {index.vocab_size:,}"
            )
    return index


def map_shard(folder: Path, index: ShardIndex, shard: Shard) -> np.ndarray:
    """The ids of one shard (n,), left on the disk."""
    path = folder / shard.file
    try:
        with path.open("rb") as file:
            if file.read(HEADER) != header(index.dtype, shard.tokens):
                raise damaged(folder, f"{shard.file} does not begin as its index says")
        return np.memmap(path, index.dtype, "r", HEADER, (shard.tokens,))
    except (OSError, ValueError) as error:
        raise damaged(folder, f"{shard.file} cannot be read ({error})") from error


def open_shards(folder: str | Path, split: str, index: ShardIndex | None = None) -> TokenShards:
    """Map the ids of one split into memory; :func:`verify_shards` first, if they may be damaged.

    Args:
        folder: of shards.
        split: ``train``, ``validation`` or ``test``.
        index: what :func:`read_index` has returned, where it was called before.

    Raises:
        ShardError: see :func:`read_index`; or a header is wrong, or there is no such split.
    """
    folder = Path(folder)
    index = index or read_index(folder)
    shards = index.of(split)
    if not shards:
        there = ", ".join(dict.fromkeys(shard.split for shard in index.shards))
        raise ShardError(f"{folder} has no split {split!r}: give one of {there}")
    arrays = [map_shard(folder, index, shard) for shard in shards]
    fingerprint = hashlib.sha256("".join(shard.sha256 for shard in shards).encode()).hexdigest()
    return TokenShards(arrays, index.vocab_size, fingerprint)


# Writing: ids are appended to one file for each split, and at the end each line of them is cut


def write_ids(
    sides: Iterable[tuple[str, str]], tokenizer: Tokenizer, folder: Path, splits: Sequence[str]
) -> tuple[Lines, Counts]:
    """Append the ids of documents to one file for each split; returns what these hold, mapped.

    Threads serve a tokenizer that leaves Python while it works, as tiktoken does; others are
    as fast as on one thread. The bytes are the same, however many threads there are.
    """
    counts: Counts = {split: {"documents": 0, "text_bytes": 0} for split in splits}
    threads, pending = os.cpu_count() or 1, deque[tuple[str, Future[bytes]]]()
    with ExitStack() as stack:
        files = {split: stack.enter_context((folder / split).open("wb")) for split in splits}
        pool = stack.enter_context(ThreadPoolExecutor(threads))
        for split, batch in batches(sides, counts):
            pending.append((split, pool.submit(batch_bytes, tokenizer, batch)))
            if len(pending) > 2 * threads:  # enough for no thread to wait, little to hold
                first, ids = pending.popleft()
                files[first].write(ids.result())
        for split, ids in pending:
            files[split].write(ids.result())
        for split, file in files.items():
            if file.tell() == 0:
                raise CorpusError(
                    f"the {split} split would be empty (equal documents fall on one side): "
                    f"use more documents or other shares"
                )
    dtype = dtype_of(tokenizer.vocab_size)
    return {split: np.memmap(folder / split, dtype, "r") for split in splits}, counts


def batches(sides: Iterable[tuple[str, str]], counts: Counts) -> Iterator[tuple[str, Batch]]:
    """Gather the documents of each split until there is work worth a thread; count them."""
    waiting: dict[str, Batch] = {split: [] for split in counts}
    sizes = dict.fromkeys(counts, 0)
    with tqdm(desc="tokenizing", unit="B", unit_scale=True, disable=environment.quiet()) as bar:
        for split, document in sides:
            size = len(document.encode())
            counts[split]["documents"] += 1
            counts[split]["text_bytes"] += size
            bar.update(size)
            # Parts of a long document that have the same ids as the whole.
            for piece in [document] if len(document) <= BATCH else safe_chunks([document], BATCH):
                waiting[split].append(piece)
                sizes[split] += len(piece)
                if sizes[split] >= BATCH:
                    yield split, waiting[split]
                    waiting[split], sizes[split] = [], 0
            waiting[split].append(None)
    yield from waiting.items()


def encode_batch(tokenizer: Tokenizer, batch: Batch) -> list[int]:
    """The ids of pieces of text, with the end of text for each None, if there is one."""
    joined = "".join([END_OF_TEXT if piece is None else piece for piece in batch])
    plain = joined.count(END_OF_TEXT) == batch.count(None)  # no piece holds such a text itself
    if plain and list(tokenizer.special_tokens) == [END_OF_TEXT]:
        # One long call: between many short ones, threads would wait for each other.
        return tokenizer.encode(joined, allow_special=True)
    ids = []
    for piece in batch:
        if piece is not None:
            ids += tokenizer.encode(piece)
        elif tokenizer.end_of_text is not None:
            ids.append(tokenizer.end_of_text)
    return ids


def batch_bytes(tokenizer: Tokenizer, batch: Batch) -> bytes:
    """The ids of a batch as a file holds them; TokenOutOfRange for one that it could not hold."""
    ids = encode_batch(tokenizer, batch)
    line = np.fromiter(ids, np.int64, len(ids))
    bad = line[(line < 0) | (line >= tokenizer.vocab_size)]
    if len(bad):
        raise out_of_range(bad[0], tokenizer.vocab_size)
    return line.astype(dtype_of(tokenizer.vocab_size)).tobytes()


def cut_shards(
    folder: Path,
    lines: Lines,
    tokenizer: Tokenizer,
    counts: Counts,
    n_shards: int,
    source: dict[str, str],
) -> ShardIndex:
    """Cut each split's line of ids into shards, and write the index."""
    shards: list[Shard] = []
    for split, line in lines.items():
        wanted = -(-n_shards * len(line) // len(lines[SPLITS[0]]))
        count = min(wanted, len(line))
        borders = [number * len(line) // count for number in range(count + 1)]
        for number, (start, end) in enumerate(pairwise(borders)):
            path = folder / f"{split}-{number:05d}.npy"
            with path.open("wb") as file:
                file.write(header(line.dtype.str, end - start))
                file.write(line[start:end].data)
            shards.append(Shard(path.name, split, end - start, **file_facts(path)))
    about = {"name": tokenizer.name, "fingerprint": tokenizer.fingerprint}
    index = ShardIndex(
        tokenizer.vocab_size, tokenizer.end_of_text, about, source, counts, tuple(shards)
    )
    (folder / INDEX).write_bytes(index.to_bytes())
    return index
