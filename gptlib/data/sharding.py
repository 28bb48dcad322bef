"""Documents out of a stream, token shards on disk, in memory that does not grow with them.

Ids are appended to one file for each split; once all are there, each file is cut into shards of
equal length. Threads turn documents into ids, in order and a few documents at a time.
"""

import hashlib
import os
import shutil
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from tqdm import tqdm

from gptlib import environment
from gptlib.data.shards import INDEX, Shard, ShardIndex, dtype_of, header
from gptlib.data.split import SPLITS, split_stream
from gptlib.errors import ConfigError, CorpusError
from gptlib.files import BLOCK, file_facts, new_folder
from gptlib.tokenizer import END_OF_TEXT, Tokenizer
from gptlib.tokenizer.bpe import check_unicode, safe_chunks
from gptlib.tokenizer.tokenizers import out_of_range

SLAB = 1 << 18  # characters that a thread tokenises at a time: a few hundredths of a second

Counts = dict[str, dict[str, int]]  # split → documents and bytes of text
Slab = list[tuple[str, bool]]  # texts, and whether a document ends there


def write_shards(
    documents: Iterable[str],
    tokenizer: Tokenizer,
    folder: str | Path,
    n_shards: int = 20,
    source: str = "",
    validation: float = 0.1,
    test: float = 0.0,
) -> ShardIndex:
    """Part documents, turn them into ids and write these as shards, all or nothing.

    Every document ends with the tokenizer's end-of-text id, if it has one. The same documents
    give the same bytes, whatever the number of threads.

    Args:
        documents: read once, in order.
        tokenizer: a trained one has seen nothing but the training split.
        folder: does not exist yet.
        n_shards: how many files of training ids of equal length (fewer where there are fewer
            ids); the other splits get files of about that length. 20, as in Darija-GPT.
        source: what the documents are, for people.
        validation, test: shares of the documents, see :func:`split_stream`.

    Returns:
        What ``shards.json`` says.

    Raises:
        FolderError: the folder exists, is being written, or the disk refuses. Nothing is left of
            the attempt.
        ShardError: the vocabulary fits no integer type.
        CorpusError: a split that was asked for would be empty.
        TokenizerError, TokenOutOfRange: a document cannot be encoded.
    """
    check_sharding(tokenizer.vocab_size, n_shards)
    digest = hashlib.sha256()
    with new_folder(Path(folder)) as part:
        parted = split_stream(fingerprinted(documents, digest), validation, test)
        counts = gather_ids(parted, tokenizer, part, SPLITS if test else SPLITS[:2])
        about = {"name": source, "fingerprint": digest.hexdigest()}
        return shards_of(part, tokenizer, counts, n_shards, about)


def check_sharding(vocab_size: int, n_shards: int) -> None:
    """Refuse a number of shards or a vocabulary that cannot be, before a document is read."""
    dtype_of(vocab_size)
    if n_shards < 1:
        raise ConfigError(f"n_shards is {n_shards}: it must be 1 or more")


def fingerprinted(documents: Iterable[str], digest: "hashlib._Hash") -> Iterator[str]:
    """Hand documents on, and take them into the fingerprint that ``Corpus.fingerprint`` is."""
    try:
        for document in documents:
            check_unicode(document)
            digest.update(hashlib.sha256(document.encode()).digest())
            yield document
    except OSError as error:  # of a file or a server, not of the disk that is written to
        raise CorpusError(f"the documents broke off ({error}): see to their source") from error


def gather_ids(
    parted: Iterable[tuple[str, str]], tokenizer: Tokenizer, part: Path, splits: Sequence[str]
) -> Counts:
    """Append the ids of documents to one file for each split; returns what these hold."""
    counts: Counts = {split: {"documents": 0, "text_bytes": 0} for split in splits}
    dtype = dtype_of(tokenizer.vocab_size)
    with ExitStack() as stack:
        files = {split: stack.enter_context(ids_of(part, split).open("wb")) for split in splits}
        for split, ids in tokenise(counted(parted, counts), tokenizer):
            files[split].write(ids.astype(dtype).tobytes())
        for split, file in files.items():
            if file.tell() == 0:
                raise CorpusError(
                    f"the {split} split would be empty (equal documents fall on one side): "
                    f"use more documents or other shares"
                )
    return counts


def ids_of(part: Path, split: str) -> Path:
    """The file in which a split's ids wait to be cut."""
    return part / f"{split}.ids"


def counted(parted: Iterable[tuple[str, str]], counts: Counts) -> Iterator[tuple[str, str]]:
    """Hand documents on, count them and move the bar."""
    with tqdm(desc="tokenising", unit="B", unit_scale=True, disable=environment.quiet()) as bar:
        for split, document in parted:
            size = len(document.encode())
            counts[split]["documents"] += 1
            counts[split]["text_bytes"] += size
            bar.update(size)
            yield split, document


def shards_of(
    part: Path, tokenizer: Tokenizer, counts: Counts, n_shards: int, source: dict[str, str]
) -> ShardIndex:
    """Make shards of the ids that `gather_ids` has left, and their index."""
    index = ShardIndex(
        vocab_size=tokenizer.vocab_size,
        end_of_text=tokenizer.end_of_text,
        tokenizer={"name": tokenizer.name, "fingerprint": tokenizer.fingerprint},
        source=source,
        splits=counts,
        shards=tuple(cut_into_shards(part, list(counts), dtype_of(tokenizer.vocab_size), n_shards)),
    )
    (part / INDEX).write_bytes(index.to_bytes())
    return index


def cut_into_shards(part: Path, splits: list[str], dtype: str, n_shards: int) -> Iterator[Shard]:
    """Cut each split's file into shards of equal length, and delete it."""
    item = np.dtype(dtype).itemsize
    tokens = {split: ids_of(part, split).stat().st_size // item for split in splits}
    for split in splits:
        wanted = -(-n_shards * tokens[split] // tokens[SPLITS[0]])
        count = min(wanted, tokens[split])
        borders = [number * tokens[split] // count for number in range(count + 1)]
        found = []
        with ids_of(part, split).open("r+b") as ids:
            for number in reversed(range(count)):  # from the end: what is copied can be cut off
                start, end = borders[number : number + 2]
                shard = part / f"{split}-{number:05d}.npy"
                ids.seek(start * item)
                with shard.open("wb") as file:
                    file.write(header(dtype, end - start))
                    shutil.copyfileobj(ids, file, BLOCK)
                found.append(Shard(shard.name, split, end - start, **file_facts(shard)))
                ids.truncate(start * item)
        ids_of(part, split).unlink()
        yield from reversed(found)


def tokenise(
    parted: Iterable[tuple[str, str]], tokenizer: Tokenizer
) -> Iterator[tuple[str, np.ndarray]]:
    """The ids of documents, in slabs.

    Threads serve a tokenizer that leaves Python while it works, as tiktoken does; others are
    as fast as on one thread.

    Args:
        parted: the split and the text of each document, one by one.
        tokenizer: shared by the threads.

    Yields:
        A split and its next ids, uint32; each document ends with the end-of-text id, if the
        tokenizer has one.

    Raises:
        TokenizerError, TokenOutOfRange: a document cannot be encoded, or has got a bad id.
    """
    threads = os.cpu_count() or 1
    pending: deque[tuple[str, Future[np.ndarray]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for split, slab in slabs(parted):
            pending.append((split, pool.submit(encode_slab, tokenizer, slab)))
            if len(pending) > 2 * threads:  # enough for no thread to wait, little to hold
                done, future = pending.popleft()
                yield done, future.result()
        for done, future in pending:
            yield done, future.result()


def slabs(parted: Iterable[tuple[str, str]]) -> Iterator[tuple[str, Slab]]:
    """Gather the documents of each split until there is work worth handing to a thread."""
    waiting: dict[str, Slab] = {}
    sizes: dict[str, int] = {}
    for split, document in parted:
        for text, ends in cut_long(document):
            waiting.setdefault(split, []).append((text, ends))
            sizes[split] = sizes.get(split, 0) + len(text)
            if sizes[split] >= SLAB:
                yield split, waiting.pop(split)
                sizes[split] = 0
    yield from waiting.items()


def cut_long(document: str) -> Iterator[tuple[str, bool]]:
    """A document as it is, or parts of a long one that have the same ids as the whole."""
    if len(document) <= SLAB:
        yield document, True
        return
    for part in safe_chunks([document], SLAB):
        yield part, False
    yield "", True


def encode_slab(tokenizer: Tokenizer, slab: Slab) -> np.ndarray:
    """The ids of some texts, checked against the vocabulary."""
    found = encode_joined(tokenizer, slab) or encode_each(tokenizer, slab)
    try:
        ids = array("I", found)  # 32 bits and no sign
    except OverflowError:
        bad = next(i for i in found if i not in range(tokenizer.vocab_size))
        raise out_of_range(bad, tokenizer.vocab_size) from None
    line = np.frombuffer(ids, dtype=np.uintc)  # (n,)
    if line.size and line.max() >= tokenizer.vocab_size:
        raise out_of_range(line.max(), tokenizer.vocab_size)
    return line


def encode_joined(tokenizer: Tokenizer, slab: Slab) -> list[int] | None:
    """The ids of all texts in one call, end-of-text as text between; None where that may differ.

    One long call leaves Python alone for longer than many short ones: the threads would spend
    a third of their time waiting for each other.
    """
    whole = "".join([text + END_OF_TEXT if ends else text for text, ends in slab])
    alone = whole.count(END_OF_TEXT) == sum(ends for _, ends in slab)  # no text has it
    if list(tokenizer.special_tokens) != [END_OF_TEXT] or not alone:
        return None
    return tokenizer.encode(whole, allow_special=True)


def encode_each(tokenizer: Tokenizer, slab: Slab) -> list[int]:
    """The ids of all texts, one by one, and the end of text after each document."""
    ids = []
    for text, ends in slab:
        ids += tokenizer.encode(text)
        if ends and tokenizer.end_of_text is not None:
            ids.append(tokenizer.end_of_text)
    return ids
