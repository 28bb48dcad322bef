"""Documents and where they are from: in memory, to be read once, or still to be fetched."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Corpus:
    """Documents and where they are from."""

    name: str
    documents: list[str]
    source: str
    licence: str

    @property
    def text(self) -> str:
        """All documents, a blank line between."""
        return "\n\n".join(self.documents)

    @property
    def fingerprint(self) -> str:
        """A sha256 of the documents and their order: two equal texts have the same."""
        digest = hashlib.sha256()
        for document in self.documents:
            digest.update(hashlib.sha256(document.encode()).digest())
        return digest.hexdigest()


@dataclass(frozen=True)
class CorpusStream:
    """Documents that are read when they are asked for, once, and where they are from."""

    name: str
    documents: Iterator[str]
    source: str
    licence: str


@dataclass(frozen=True)
class Entry:
    """One named corpus: how to read it, its facts, and the sample that can stand in for it."""

    read: Callable[[], list[str]]
    source: str
    licence: str
    stand_in: str | None = None  # None: it comes with the course
