"""``report.json``: what became of the documents of a prepared folder, and why."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gptlib.data.cleaning import CleaningReport
from gptlib.data.shard_index import LARGEST_INDEX, ShardIndex
from gptlib.data.shared_spans import SPAN
from gptlib.errors import ShardError
from gptlib.files import sealed_bytes, wrong_file

REPORT = "report.json"
VERSION = 1


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

    def to_bytes(self) -> bytes:
        """The content of ``report.json``; it ends with its own hash."""
        return sealed_bytes(self.to_dict())


def read_report(folder: Path) -> dict[str, Any]:
    """The verified content of a prepared folder's ``report.json``.

    Raises:
        ShardError: it is missing, altered, or of another version.
    """
    if wrong := wrong_file(folder / REPORT, None, LARGEST_INDEX):
        raise report_damaged(folder, wrong)
    try:
        content = (folder / REPORT).read_bytes()
        values: dict[str, Any] = json.loads(content)
        values.pop("sha256")
        intact = content == sealed_bytes(values) and values["version"] == VERSION
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise report_damaged(folder, f"{REPORT} cannot be read") from error
    if not intact:
        raise report_damaged(folder, f"{REPORT} was altered, or is of another version")
    return values


def report_damaged(folder: Path, what: str) -> ShardError:
    """The error for a report that is not as it was written; training does not need it."""
    return ShardError(f"{folder} is damaged: {what}: prepare it again, or train on it as it is")
