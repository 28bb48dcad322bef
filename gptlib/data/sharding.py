"""Documents out of a stream, token shards on disk, in memory that does not grow with them.

Ids are appended to one file for each split; once all are there, each file is cut into shards of
equal length. All this happens in ``.NAME.part`` beside the folder, which gets its name only when
everything is on the disk: what a killed process leaves is thrown away by the next one.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import numpy as np
from tqdm import tqdm

from gptlib import paths
from gptlib.data.folders import new_folder, written
from gptlib.data.shard_index import INDEX, Shard, ShardIndex, dtype_of, file_name, header
from gptlib.data.split import SPLITS, split_stream
from gptlib.data.tokenising import tokenise
from gptlib.errors import ConfigError, CorpusError
from gptlib.files import BLOCK
from gptlib.tokenizer import Tokenizer
from gptlib.tokenizer.bpe import check_unicode

Counts = dict[str, dict[str, int]]  # split → documents and bytes of text


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
        ShardError: the folder exists, is being written, or the disk refuses; or the vocabulary
            fits no integer type. Nothing is left of the attempt.
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


def gather_ids(
    parted: Iterable[tuple[str, str]], tokenizer: Tokenizer, part: Path, splits: Sequence[str]
) -> Counts:
    """Turn documents into ids, one file for each split; returns what they hold."""
    counts: Counts = {split: {"documents": 0, "text_bytes": 0} for split in splits}
    slabs = tokenise(counted(parted, counts), tokenizer)
    write_ids(slabs, part, splits, dtype_of(tokenizer.vocab_size))
    return counts


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
    with written(part / INDEX) as file:  # last: it vouches for the others
        file.write(index.to_bytes())
    return index


def fingerprinted(documents: Iterable[str], digest: "hashlib._Hash") -> Iterator[str]:
    """Hand documents on, and take them into the fingerprint that ``Corpus.fingerprint`` is."""
    try:
        for document in documents:
            check_unicode(document)
            digest.update(hashlib.sha256(document.encode()).digest())
            yield document
    except OSError as error:  # of a file or a server, not of the disk that is written to
        raise CorpusError(f"the documents broke off ({error}): see to their source") from error


def counted(parted: Iterable[tuple[str, str]], counts: Counts) -> Iterator[tuple[str, str]]:
    """Hand documents on, count them and move the bar."""
    with tqdm(desc="tokenising", unit="B", unit_scale=True, disable=paths.quiet()) as bar:
        for split, document in parted:
            size = len(document.encode())
            counts[split]["documents"] += 1
            counts[split]["text_bytes"] += size
            bar.update(size)
            yield split, document


def write_ids(
    slabs: Iterable[tuple[str, np.ndarray]], part: Path, splits: Iterable[str], dtype: str
) -> None:
    """Append each split's ids to its file; refuses a split without any."""
    with ExitStack() as stack:
        files = {split: stack.enter_context(ids_of(part, split).open("wb")) for split in splits}
        for split, ids in slabs:
            files[split].write(ids.astype(dtype).tobytes())
        for split, file in files.items():
            if file.tell() == 0:
                raise CorpusError(
                    f"the {split} split would be empty (equal documents fall on one side): "
                    f"use more documents or other shares"
                )


def ids_of(part: Path, split: str) -> Path:
    """The file in which a split's ids wait to be cut."""
    return part / f"{split}.ids"


def cut_into_shards(part: Path, splits: list[str], dtype: str, n_shards: int) -> Iterator[Shard]:
    """Cut each split's file into shards of equal length, and delete it."""
    item = np.dtype(dtype).itemsize
    tokens = {split: ids_of(part, split).stat().st_size // item for split in splits}
    for split in splits:
        wanted = -(-n_shards * tokens[split] // tokens[SPLITS[0]])
        count = min(wanted, tokens[split])
        borders = [number * tokens[split] // count for number in range(count + 1)]
        with ids_of(part, split).open("r+b") as ids:
            found = []
            for number in reversed(range(count)):  # from the end: what is copied can be cut off
                start, end = borders[number : number + 2]
                ids.seek(start * item)
                found.append(write_shard(part, split, number, dtype, end - start, ids))
                ids.truncate(start * item)
        ids_of(part, split).unlink()
        yield from reversed(found)


def write_shard(
    part: Path, split: str, number: int, dtype: str, tokens: int, ids: IO[bytes]
) -> Shard:
    """Copy what follows in `ids` into a shard."""
    name, block, digest = file_name(split, number), header(dtype, tokens), hashlib.sha256()
    with written(part / name) as file:
        while block:
            file.write(block)
            digest.update(block)
            block = ids.read(BLOCK)
        return Shard(name, split, tokens, file.tell(), digest.hexdigest())
