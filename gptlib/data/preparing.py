"""From documents to a prepared folder: cleaned, parted, tokenised, sharded, with a report.

Everything is built in ``.NAME.part`` beside the folder, which gets its name when all of it is on
the disk. Documents are read once and kept nowhere, unless a vocabulary is trained: it has to see
all training documents before the first id is known, so they wait in a file of that folder.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from gptlib import environment
from gptlib.data.cleaning import Cleaner
from gptlib.data.overlap import SPAN, drop_documents, ngram_overlap
from gptlib.data.prepared import REPORT, SHARDS, TOKENIZER, Preparation, SharedDocuments
from gptlib.data.sharding import (
    Counts,
    check_sharding,
    fingerprinted,
    gather_ids,
    ids_of,
    shards_of,
)
from gptlib.data.shards import dtype_of
from gptlib.data.split import SPLITS, split_stream
from gptlib.errors import ConfigError, CorpusError
from gptlib.files import check_absent, new_folder, write_manifest
from gptlib.tokenizer import END_OF_TEXT, BPETokenizer, Tokenizer
from gptlib.tokenizer.vocabulary import room_for_merges

Parted = Iterable[tuple[str, str]]  # split and document
WAITING = "documents"  # the file in which documents wait for a vocabulary


def prepare(
    documents: Iterable[str],
    folder: str | Path,
    tokenizer: Tokenizer | int,
    cleaner: Cleaner | None = None,
    n_shards: int = 20,
    source: str = "",
    validation: float = 0.1,
    test: float = 0.0,
    drop_shared: bool = False,
) -> Preparation:
    """Write a folder that :func:`gptlib.data.prepared.open_prepared` opens, all or nothing.

    The same documents and choices give the same bytes.

    Args:
        documents: read once, in order.
        folder: does not exist yet.
        tokenizer: a number trains a vocabulary of that size on the cleaned training documents.
        cleaner: a new one; None takes the documents as they come.
        n_shards, source, validation, test: see :func:`gptlib.data.sharding.write_shards`.
        drop_shared: leave out held-out documents that share `SPAN` tokens in a row with training.

    Returns:
        What ``report.json`` says.

    Raises:
        CorpusError: no document is left, or a split would be empty.
        ConfigError, FolderError, ShardError, TokenizerError, TokenOutOfRange: see
            ``write_shards``.
    """
    folder = Path(folder)
    check_absent(folder)
    check_choices(tokenizer, n_shards, drop_shared)
    digest = hashlib.sha256()
    parted = begun(split_stream(fingerprinted(left(documents, cleaner), digest), validation, test))
    with new_folder(folder) as part:
        if isinstance(tokenizer, int):
            let_wait(parted, part / WAITING)
            seen = (text for split, text in waiting(part / WAITING) if split == SPLITS[0])
            tokenizer = BPETokenizer.train(seen, tokenizer, [END_OF_TEXT], fast=True)
            parted = waiting(part / WAITING)
        (part / SHARDS).mkdir()
        counts = gather_ids(parted, tokenizer, part / SHARDS, SPLITS if test else SPLITS[:2])
        (part / WAITING).unlink(missing_ok=True)
        shared = compared(part / SHARDS, counts, tokenizer, drop_shared)
        about = {"name": source, "fingerprint": digest.hexdigest()}
        index = shards_of(part / SHARDS, tokenizer, counts, n_shards, about)
        tokenizer.save(part / TOKENIZER)
        report = Preparation(index, cleaner.report if cleaner else None, shared)
        write_manifest(part / REPORT, report.to_dict())
    return report


def check_choices(tokenizer: Tokenizer | int, n_shards: int, drop_shared: bool) -> None:
    """Refuse what cannot work before a document is read."""
    if isinstance(tokenizer, int):
        room_for_merges(tokenizer, [END_OF_TEXT])
        check_sharding(tokenizer, n_shards)
        return
    check_sharding(tokenizer.vocab_size, n_shards)
    if drop_shared and tokenizer.end_of_text is None:
        raise ConfigError(
            f"shared spans cannot be dropped: {tokenizer.name} has no end of text, so its ids do "
            f"not tell where a document ends: leave drop_shared out, or use another tokenizer"
        )


def left(documents: Iterable[str], cleaner: Cleaner | None) -> Iterator[str]:
    """What a cleaner leaves; refuses to go on with nothing."""
    empty = True
    for document in cleaner.clean(documents) if cleaner else documents:
        empty = False
        yield document
    if empty:
        came = cleaner.report.documents_in if cleaner else 0
        steps = cleaner.report.steps if cleaner else []
        why = ", ".join(f"{step.name} {step.dropped:,}" for step in steps if step.dropped)
        raise CorpusError(
            f"no document is left of the {came:,} that came (dropped: {why or 'none'}): "
            f"use another corpus, or clean less"
        )


def begun(parted: Parted) -> Parted:
    """The same, the first one read already: what has no beginning is refused before writing."""
    parted = iter(parted)
    return chain([next(parted)], parted)


def let_wait(parted: Parted, path: Path) -> None:
    """Write documents and their splits to a file, a line each."""
    bar = tqdm(parted, desc="reading", unit=" documents", disable=environment.quiet())
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for split, document in bar:
            file.write(json.dumps([split, document], ensure_ascii=False) + "\n")


def waiting(path: Path) -> Iterator[tuple[str, str]]:
    """What `let_wait` has written."""
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            split, document = json.loads(line)
            yield split, document


def compared(
    folder: Path, counts: Counts, tokenizer: Tokenizer, drop: bool
) -> dict[str, SharedDocuments] | None:
    """Hold the ids of each held-out split against training; `counts` follows what is dropped."""
    if tokenizer.end_of_text is None:
        return None
    found, dtype = {}, dtype_of(tokenizer.vocab_size)
    for split in list(counts)[1:]:
        ids, there = ids_of(folder, split), counts[split]["documents"]
        numbers, places = ngram_overlap(ids_of(folder, SPLITS[0]), ids, dtype, tokenizer)
        found[split] = SharedDocuments(len(numbers), there, places, drop)
        if drop and len(numbers) == there:
            raise CorpusError(
                f"all {there:,} {split} documents share {SPAN} tokens in a row with training: "
                f"keep them (without drop_shared), or clean more, or use more documents"
            )
        if drop:
            counts[split]["text_bytes"] -= drop_documents(ids, dtype, numbers, tokenizer)
            counts[split]["documents"] -= len(numbers)
    return found
