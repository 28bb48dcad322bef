"""A prepared folder: token shards, and the tokenizer that made them.

::

    FOLDER/
      shards/      shards.json and *.npy, see gptlib.data.sharding
      tokenizer/   what ``Tokenizer.save`` has written
      report.json  what became of the documents, and why; not needed for training
"""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gptlib.data.cleaning import CleaningReport
from gptlib.data.dataset import TokenDataset, TokenShards
from gptlib.data.overlap import SPAN
from gptlib.data.shards import (
    INDEX,
    ShardIndex,
    open_shards,
    verify_shards,
)
from gptlib.errors import Damaged, ShardError, TextTooShort, TokenizerError
from gptlib.files import read_manifest
from gptlib.tokenizer import Tokenizer, load_tokenizer

SHARDS, TOKENIZER, REPORT = "shards", "tokenizer", "report.json"
VERSION = 1  # of the report


@dataclass(frozen=True)
class Prepared:
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
        """The ids of ``train``, ``validation`` or ``test``, left on the disk.

        Raises:
            ShardError: there is no such split, or it was altered since.
        """
        return open_shards(self.folder / SHARDS, split, self.index)

    def dataset(self, split: str, context_length: int) -> TokenDataset:
        """The windows of a split, read when they are asked for."""
        try:
            return TokenDataset(self.tokens(split), context_length)
        except TextTooShort as error:
            message = f"the {split} split of {self.folder} is too short: {error}"
            raise TextTooShort(message) from error


def is_prepared(path: Path) -> bool:
    """Whether ``prepare`` has written this; texts of one's own may lie in ``shards/`` too."""
    return (path / SHARDS / INDEX).is_file()


def open_prepared(folder: str | Path) -> Prepared:
    """Check every byte of a prepared folder's shards, and that its tokenizer made them.

    Args:
        folder: what ``python -m gptlib prepare`` has written.

    Raises:
        ShardError: a shard or ``shards.json`` is missing, damaged or added to, or the tokenizer
            is missing, damaged or another one.
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
    return Prepared(folder, index, tokenizer)


@dataclass(frozen=True)
class SharedDocuments:
    """What a held-out split had in common with training."""

    documents: int  # that share a span with a training document
    of: int  # documents in the split before any was dropped
    places: int  # in them, where a span begins that training has
    dropped: bool  # whether these documents were left out
    tokens: int = SPAN  # of a span


@dataclass(frozen=True)
class Preparation:
    """What ``report.json`` says."""

    index: ShardIndex
    cleaning: CleaningReport | None  # None: the documents were taken as they came
    shared: dict[str, SharedDocuments] | None  # None: the ids do not tell where documents end

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON; what ``shards.json`` says of each file is left to it."""
        tokens = {
            split: sum(shard.tokens for shard in self.index.of(split))
            for split in self.index.splits
        }
        return {
            "version": VERSION,
            "source": self.index.source,
            "tokenizer": self.index.tokenizer,
            "cleaning": self.cleaning and self.cleaning.to_dict(),
            "splits": {
                split: {**counts, "tokens": tokens[split]}
                for split, counts in self.index.splits.items()
            },
            "shared_spans": self.shared
            and {split: asdict(found) for split, found in self.shared.items()},
        }


def read_report(folder: Path) -> dict[str, Any]:
    """The verified content of a prepared folder's ``report.json``.

    Raises:
        ShardError: it is missing, altered, or of another version.
    """
    try:
        values = read_manifest(folder / REPORT)
        if (found := values.get("version")) != VERSION:
            raise Damaged(f"{REPORT} has version {found!r}, not {VERSION}")
    except Damaged as error:
        raise ShardError(
            f"{folder} is damaged: {error}: prepare it again, or train on it as it is"
        ) from error
    return values
