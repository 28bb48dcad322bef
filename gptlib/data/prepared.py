"""A prepared folder: token shards, and the tokenizer that made them.

::

    FOLDER/
      shards/      shards.json and *.npy, see gptlib.data.sharding
      tokenizer/   what ``Tokenizer.save`` has written
      report.json  how the documents were cleaned; not needed for training
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from gptlib.data.shard_index import INDEX, ShardIndex
from gptlib.data.shards import ShardWindows, TokenShards, map_split, verify_shards
from gptlib.errors import ShardError, TextTooShort, TokenizerError
from gptlib.tokenizer import Tokenizer, load_tokenizer

SHARDS, TOKENIZER = "shards", "tokenizer"


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
        return map_split(self.folder / SHARDS, self.index, split)

    def windows(self, split: str, context_length: int) -> tuple[ShardWindows, ShardWindows]:
        """Inputs and targets of a split, (n, T) each, read when they are asked for.

        Raises:
            ShardError: there is no such split, or it was altered since.
            TextTooShort: it holds fewer ids than one window and its last target.
        """
        try:
            return self.tokens(split).windows(context_length)
        except TextTooShort as problem:
            raise TextTooShort(f"the {split} split of {self.folder} is too short: {problem}") from (
                problem
            )


def is_prepared(path: Path) -> bool:
    """Whether ``prepare`` has written this; texts of one's own may lie in ``shards/`` too."""
    return (path / SHARDS / INDEX).is_file()


def shards_in(folder: Path) -> Path:
    """Where a prepared folder's shards lie; ShardError where it is no such folder."""
    if not (folder / SHARDS).is_dir():
        raise ShardError(
            f"{folder} is no prepared folder, it has no {SHARDS}/: "
            f"make one with python -m gptlib prepare"
        )
    return folder / SHARDS


def open_prepared(folder: str | Path) -> Prepared:
    """Check every byte of a prepared folder's shards, and that its tokenizer made them.

    Args:
        folder: what ``python -m gptlib prepare`` has written.

    Raises:
        ShardError: a shard or ``shards.json`` is missing, damaged or added to, or the tokenizer
            is missing, damaged or another one.
    """
    folder = Path(folder)
    index = verify_shards(shards_in(folder))
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
