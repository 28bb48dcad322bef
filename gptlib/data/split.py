"""Training text and validation text, parted before anything is cut into windows.

Neighbouring windows of one text overlap in words and in subject, so a validation that is drawn
from them measures memory. Whole documents are parted instead, each by a hash of its own text:
no order, no random state and no index decides where it goes.
"""

import hashlib
import unicodedata
from collections.abc import Sequence
from typing import TypeVar

from torch import Tensor

from gptlib.data.corpora import Corpus
from gptlib.errors import CorpusError

FEWEST_DOCUMENTS = 20  # with fewer, one document more or less would change the share too much

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


def hash_place(document: str) -> float:
    """Where a document stands in [0, 1): the same in every process and on every machine.

    Case, spacing and Unicode form are levelled first, so that near copies stay together.
    """
    level = " ".join(unicodedata.normalize("NFKC", document).casefold().split())
    digest = hashlib.sha256(level.encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48  # 48 bits are exact in a float


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
