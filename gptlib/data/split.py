"""Training text and validation text, parted before anything is cut into windows.

Neighbouring windows of one text overlap in words and in subject, so a validation that is drawn
from them measures memory. Whole documents are parted instead, each by a hash of its own text:
no order, no random state and no index decides where it goes.
"""

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TypeVar

from torch import Tensor

from gptlib.data.corpora import Corpus
from gptlib.errors import ConfigError, CorpusError

FEWEST_DOCUMENTS = 20  # with fewer, one document more or less would change the share too much
SPLITS = ("train", "validation", "test")
# What str.split takes for white space once NFKC has levelled the rest, within ASCII and outside.
SPACES = bytes.maketrans(b"\t\n\v\f\r\x1c\x1d\x1e\x1f", b" " * 9)
OTHER_SPACES = "\x85\u1680\u2028\u2029"

Part = TypeVar("Part", str, list[int], Tensor)


def split(corpus: Corpus, validation: float = 0.1) -> tuple[list[str], list[str]]:
    """Part a corpus into training and validation documents.

    Args:
        corpus: 20 documents or more are parted by hash; fewer are joined and cut once.
        validation: the share of validation.

    Returns:
        Training documents and validation documents.

    Raises:
        CorpusError: one side would be empty.
    """
    if len(corpus.documents) >= FEWEST_DOCUMENTS:
        return split_documents(corpus.documents, validation)
    training, held_out = cut(corpus.text, validation)
    return [training], [held_out]


def split_documents(
    documents: Sequence[str], validation: float = 0.1
) -> tuple[list[str], list[str]]:
    """Part documents by a hash of their text, each side in the order given.

    The document with the smallest hash is always held out, so that a validation exists.

    Raises:
        CorpusError: no document is left for training.
    """
    if not documents:
        raise CorpusError("no documents to split: load a corpus first")
    places = [hash_place(document) for document in documents]
    limit = max(validation, min(places))
    pairs = list(zip(documents, places, strict=True))
    training = [document for document, place in pairs if place > limit]
    if not training:
        raise CorpusError(
            f"all {len(documents)} documents are held out: they are equal or validation "
            f"{validation} is too large: use more documents or a smaller share"
        )
    return training, [document for document, place in pairs if place <= limit]


def split_of(document: str, validation: float = 0.1, test: float = 0.0) -> str:
    """Which of `SPLITS` a document belongs to, from its own text alone."""
    place = hash_place(document)
    if place <= validation:
        return "validation"
    return "test" if place <= validation + test else "train"


def split_stream(
    documents: Iterable[str], validation: float = 0.1, test: float = 0.0
) -> Iterator[tuple[str, str]]:
    """Part documents as they come: :func:`split`, in memory that does not grow with the corpus.

    Only the first 20 documents, or those before the first one that is held out, are kept at once.

    Args:
        documents: read once. Fewer than 20 are joined and cut instead.
        validation, test: the shares that are held out; the rest is for training.

    Yields:
        The split and the document, in the order given.

    Raises:
        ConfigError: a share is negative, or none is left to train or to validate on.
        CorpusError: a corpus that had to be cut leaves a side empty.
    """
    check_shares(validation, test)
    documents, first, found = iter(documents), [], False
    for document in documents:
        first.append(document)
        found = found or split_of(document, validation, test) == "validation"
        if found and len(first) >= FEWEST_DOCUMENTS:
            break
    if len(first) < FEWEST_DOCUMENTS:
        yield from cut_stream("\n\n".join(first), validation, test)
        return
    if not found:  # the whole corpus was read: see split_documents
        validation = min(hash_place(document) for document in first)
    for document in chain(first, documents):
        yield split_of(document, validation, test), document


def check_shares(validation: float, test: float) -> None:
    """Refuse shares that are negative or leave nothing to train or to validate on."""
    if not (validation > 0 and test >= 0 and validation + test < 1):
        raise ConfigError(
            f"validation {validation} and test {test}: give shares above 0 (test may be 0) that "
            f"leave something to train on"
        )


def cut_stream(text: str, validation: float, test: float) -> Iterator[tuple[str, str]]:
    """The parts of a text that is cut where it would be too few documents to part."""
    training, held_out = cut(text, validation + test)
    yield "train", training
    if test:
        held_out, last = cut(held_out, test / (validation + test))
        yield "test", last
    yield "validation", held_out


def hash_place(document: str) -> float:
    """Where a document stands in [0, 1): the same in every process and on every machine.

    Case, spacing and Unicode form are levelled first, so that near copies stay together.
    """
    digest = hashlib.sha256(levelled(document)).digest()
    return int.from_bytes(digest[:6], "big") / 2**48  # 48 bits are exact in a float


def levelled(document: str) -> bytes:
    """The same bytes as ``" ".join(NFKC(document).casefold().split())``, in a third of its time.

    A corpus is levelled whole, and making a string of every word took a fifth as long as
    turning the text into tokens.
    """
    text = unicodedata.normalize("NFKC", document).casefold()
    for space in OTHER_SPACES:
        text = text.replace(space, " ")
    level = text.encode().translate(SPACES)
    while b"  " in level:
        level = level.replace(b"  ", b" ")
    return level.strip(b" ")


def cut(sequence: Part, validation: float = 0.1) -> tuple[Part, Part]:
    """Cut a text or its token ids once: the last tenth is validation.

    Args:
        sequence: a string, a list or a tensor.
        validation: the share of the end.

    Raises:
        CorpusError: one side would be empty.
    """
    place = int(len(sequence) * (1 - validation))
    if not 0 < place < len(sequence):
        raise CorpusError(
            f"{len(sequence)} items leave a side empty with validation {validation}: "
            f"use a longer text or a share between 0 and 1"
        )
    return sequence[:place], sequence[place:]
