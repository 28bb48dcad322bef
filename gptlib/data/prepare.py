"""From documents to a prepared folder: cleaned, split, tokenized, in shards, with a report.

::

    FOLDER/
      shards/      shards.json and *.npy, see gptlib.data.shards
      tokenizer/   what ``Tokenizer.save`` has written
      report.json  what became of the documents, and why; not needed for training

Documents are read once and kept nowhere, unless a vocabulary is trained: it has to see all
training documents before the first id is known, so they wait in a file.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gptlib import environment
from gptlib.data.cleaning import Cleaner
from gptlib.data.dataset import TokenDataset, TokenShards
from gptlib.data.shards import (
    INDEX,
    Counts,
    Lines,
    ShardIndex,
    cut_shards,
    dtype_of,
    open_shards,
    verify_shards,
    write_ids,
)
from gptlib.data.split import NGRAM, SPLITS, drop_overlapping, ngram_overlap, split_stream
from gptlib.errors import (
    ConfigError,
    CorpusError,
    Damaged,
    ShardError,
    TextTooShort,
    TokenizerError,
)
from gptlib.files import check_absent, new_folder, read_manifest, write_manifest
from gptlib.tokenizer import END_OF_TEXT, BPETokenizer, Tokenizer, load_tokenizer
from gptlib.tokenizer.bpe import check_unicode
from gptlib.tokenizer.vocabulary import room_for_merges

SHARDS, TOKENIZER, REPORT = "shards", "tokenizer", "report.json"
VERSION = 1  # of the report

Sides = Iterator[tuple[str, str]]  # split and document
Report = dict[str, Any]


@dataclass(frozen=True)
class PreparedCorpus:
    """A prepared folder whose every byte of ids has been checked."""

    folder: Path
    index: ShardIndex
    tokenizer: Tokenizer

    @property
    def name(self) -> str:
        """What finds it again: its path."""
        return str(self.folder)

    @property
    def fingerprint(self) -> str:
        """The sha256 of ``shards.json``, which holds that of every shard."""
        return hashlib.sha256(self.index.to_bytes()).hexdigest()

    def tokens(self, split: str) -> TokenShards:
        """The ids of ``train``, ``validation`` or ``test``, left on the disk; or ShardError."""
        return open_shards(self.folder / SHARDS, split, self.index)

    def dataset(self, split: str, context_length: int) -> TokenDataset:
        """The windows of a split, read when they are asked for."""
        try:
            return TokenDataset(self.tokens(split), context_length)
        except TextTooShort as error:
            raise TextTooShort(
                f"the {split} split of {self.folder} is too short: {error}"
            ) from error


def is_prepared(path: Path) -> bool:
    """Whether ``prepare`` has written this; texts of one's own may lie in ``shards/`` too."""
    return (path / SHARDS / INDEX).is_file()


def open_prepared(folder: str | Path) -> PreparedCorpus:
    """Check every byte of a prepared folder's shards, and that its tokenizer made them.

    ShardError names what is missing, damaged, added or another's.
    """
    folder = Path(folder)
    if not (folder / SHARDS).is_dir():
        raise ShardError(
            f"{folder} is no prepared folder, it has no {SHARDS}/: "
            f"make one with python -m gptlib prepare"
        )
    index = verify_shards(folder / SHARDS)
    try:
        tokenizer = load_tokenizer(folder / TOKENIZER)
    except (TokenizerError, OSError) as error:
        raise ShardError(f"{folder} has no sound tokenizer ({error}): prepare it again") from error
    made_by = index.tokenizer.get("fingerprint"), index.vocab_size, index.end_of_text
    if made_by != (tokenizer.fingerprint, tokenizer.vocab_size, tokenizer.end_of_text):
        raise ShardError(
            f"{folder} holds the tokenizer {tokenizer.name}, its shards were made by another, "
            f"{index.tokenizer.get('name')}: prepare it again in another folder"
        )
    return PreparedCorpus(folder, index, tokenizer)


def read_report(folder: Path) -> Report:
    """The content of ``report.json``; ShardError if it is missing, altered or another version's."""
    try:
        values = read_manifest(folder / REPORT)
        if (found := values.get("version")) != VERSION:
            raise Damaged(f"{REPORT} has version {found!r}, not {VERSION}")
    except Damaged as error:
        raise ShardError(
            f"{folder} is damaged: {error}: prepare it again, or train on it as it is"
        ) from error
    return values


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
) -> tuple[ShardIndex, Report]:
    """Write a folder that :func:`open_prepared` opens, all or nothing.

    Every document ends with the tokenizer's end-of-text id, if it has one. The same documents and
    choices give the same bytes.

    Args:
        documents: read once, in order.
        folder: does not exist yet.
        tokenizer: it has seen nothing but training text; a number trains a vocabulary of that
            size on the cleaned training documents.
        cleaner: a new one; None takes the documents as they come.
        n_shards: how many files of training ids of equal length (fewer where there are fewer
            ids); the other splits get files of about that length. 20, as in Darija-GPT.
        source: what the documents are, for people.
        validation, test: shares of the documents, see :func:`split_stream`.
        drop_shared: leave out held-out documents that share `NGRAM` tokens in a row with training.

    Returns:
        What ``shards.json`` and ``report.json`` say.

    Raises:
        CorpusError: no document is left, or a split would be empty.
        ConfigError, ShardError: shares, a number of shards or a vocabulary that cannot be.
        FolderError: the folder exists, is being written, or the disk refuses.
        TokenizerError, TokenOutOfRange: a document cannot be encoded.
    """
    folder, digest = Path(folder), hashlib.sha256()
    check_absent(folder)
    check_choices(tokenizer, n_shards, drop_shared)
    sides = split_stream(clean_and_hash(documents, cleaner, digest), validation, test)
    sides = chain([next(sides)], sides)  # what has no beginning is refused before writing
    with new_folder(folder) as part:
        waiting, shards = part / "waiting", part / SHARDS
        waiting.mkdir()
        shards.mkdir()
        if isinstance(tokenizer, int):
            spooled = spool(sides, waiting / "documents")
            training = (text for split, text in read_spool(spooled) if split == SPLITS[0])
            tokenizer = BPETokenizer.train(training, tokenizer, [END_OF_TEXT], fast=True)
            sides = read_spool(spooled)
        lines, counts = write_ids(sides, tokenizer, waiting, SPLITS if test else SPLITS[:2])
        overlap = overlap_report(lines, counts, tokenizer, drop_shared)
        about = {"name": source, "fingerprint": digest.hexdigest()}
        index = cut_shards(shards, lines, tokenizer, counts, n_shards, about)
        tokenizer.save(part / TOKENIZER)
        report = {
            "version": VERSION,
            "source": about,
            "tokenizer": index.tokenizer,
            "cleaning": cleaner and asdict(cleaner.report, dict_factory=_without_none),
            "splits": {
                split: {**held, "tokens": len(lines[split])} for split, held in counts.items()
            },
            "shared_spans": overlap,
        }
        write_manifest(part / REPORT, report)
        del lines  # Windows removes no file that is mapped
        shutil.rmtree(waiting)
    return index, report


def check_choices(tokenizer: Tokenizer | int, n_shards: int, drop_shared: bool) -> None:
    """Refuse what cannot work before a document is read."""
    if n_shards < 1:
        raise ConfigError(f"{n_shards} shards cannot be written: ask for 1 or more")
    if isinstance(tokenizer, int):
        room_for_merges(tokenizer, [END_OF_TEXT])
        return
    dtype_of(tokenizer.vocab_size)
    if drop_shared and tokenizer.end_of_text is None:
        raise ConfigError(
            f"shared spans cannot be dropped: {tokenizer.name} has no end of text, so its ids do "
            f"not tell where a document ends: leave drop_shared out, or use another tokenizer"
        )


def clean_and_hash(
    documents: Iterable[str], cleaner: Cleaner | None, digest: "hashlib._Hash"
) -> Iterator[str]:
    """What a cleaner leaves, hashed as ``Corpus.fingerprint`` is; nothing at all is refused."""
    empty = True
    try:
        for document in cleaner.clean(documents) if cleaner else documents:
            check_unicode(document)
            digest.update(hashlib.sha256(document.encode()).digest())
            empty = False
            yield document
    except OSError as error:  # of a file or a server, not of the disk that is written to
        raise CorpusError(f"the documents broke off ({error}): see to their source") from error
    if empty:
        came = cleaner.report.documents_in if cleaner else 0
        steps = cleaner.report.steps if cleaner else []
        why = ", ".join(f"{step.name} {step.dropped:,}" for step in steps if step.dropped)
        raise CorpusError(
            f"no document is left of the {came:,} that came (dropped: {why or 'none'}): "
            f"use another corpus, or clean less"
        )


def spool(sides: Sides, path: Path) -> Path:
    """Write documents and their splits to a file, a line each."""
    bar = tqdm(sides, desc="reading", unit=" documents", disable=environment.quiet())
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for split, document in bar:
            file.write(json.dumps([split, document], ensure_ascii=False) + "\n")
    return path


def read_spool(path: Path) -> Sides:
    """What `spool` has written."""
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            yield tuple(json.loads(line))


def overlap_report(
    lines: Lines, counts: Counts, tokenizer: Tokenizer, drop: bool
) -> dict[str, Report] | None:
    """What each held-out split shares with training, None where the ids do not tell where documents
    end; `lines` and `counts` follow what is dropped."""
    if tokenizer.end_of_text is None:
        return None
    report = {}
    for split in list(lines)[1:]:
        there = counts[split]["documents"]
        numbers, places = ngram_overlap(lines[SPLITS[0]], lines[split], tokenizer)
        found = {"documents": len(numbers), "of": there, "places": places}
        report[split] = {**found, "dropped": drop, "tokens": NGRAM}
        if drop and len(numbers) == there:
            raise CorpusError(
                f"all {there:,} {split} documents share {NGRAM} tokens in a row with training: "
                f"keep them (without drop_shared), or clean more, or use more documents"
            )
        if drop:
            lines[split], n_bytes = drop_overlapping(lines[split], numbers, tokenizer)
            counts[split]["documents"] -= len(numbers)
            counts[split]["text_bytes"] -= n_bytes
    return report


def _without_none(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """Only steps that note rows have a count of them."""
    return {name: value for name, value in items if value is not None}
