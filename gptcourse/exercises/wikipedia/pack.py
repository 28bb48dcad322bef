"""Exercise 6.3, spot the bug: documents on one line, each closed by the end of text."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np

from gptcourse.exercises.exercise import Case, Exercise, Function

Documents = list[list[int]]


def cases() -> Iterator[Case]:
    """The toy documents, an empty one alone, none, some empty, and ids beyond 16 bits."""
    yield Case("[1, 2] [3] [4, 5, 6], end 0", ([[1, 2], [3], [4, 5, 6]], 0))
    yield Case("one document, and it is empty", ([[]], 50_256))
    yield Case("no document", ([], 50_256))
    yield Case("two of five documents are empty", ([[], [3, 1], [5], [], [2, 2, 6]], 50_256))
    large = [[99_999, 5], [70_000, 70_001, 70_002]]
    yield Case("a vocabulary of 100,277", (large, 100_276))


def looked_at(function: Function, documents: Documents, end_of_text: int) -> dict[str, Any]:
    """An array's type and its ids."""
    line = function(documents, end_of_text)
    if not isinstance(line, np.ndarray):
        return {"the ids": line, "their type": type(line).__name__}
    return {"the ids": line.tolist(), "their type": line.dtype.str}


def array(ids: list[int]) -> np.ndarray:
    """Four bytes an id."""
    return np.array(ids, dtype="<u4")


def right(documents: Documents, end_of_text: int) -> np.ndarray:
    """Every document ends."""
    line = []
    for document in documents:
        line += [*document, end_of_text]
    return array(line)


def without_ends(documents: Documents, end_of_text: int) -> np.ndarray:
    """This looks like documents one behind the other, with nothing that says where one ends."""
    return array([i for document in documents for i in document])


def ends_in_front(documents: Documents, end_of_text: int) -> np.ndarray:
    """This looks like the end of text before each document instead of behind it."""
    return array([i for document in documents for i in [end_of_text, *document]])


def ends_doubled(documents: Documents, end_of_text: int) -> np.ndarray:
    """This looks like an end of text on both sides of a document: two stand between neighbours."""
    return array([i for document in documents for i in [end_of_text, *document, end_of_text]])


def last_end_missing(documents: Documents, end_of_text: int) -> np.ndarray:
    """This looks like ends between the documents only: the last document is never closed."""
    line = []
    for number, document in enumerate(documents):
        if number > 0:
            line.append(end_of_text)
        line += document
    return np.array(line, dtype="<u4")


def one_end_for_all(documents: Documents, end_of_text: int) -> np.ndarray:
    """This looks like one end of text for all documents: it belongs inside the loop."""
    return array([*chain.from_iterable(documents), end_of_text])


def closed_without_documents(documents: Documents, end_of_text: int) -> np.ndarray:
    """This closes a document where there is none: no documents make an empty line."""
    return right(documents or [[]], end_of_text)


def two_bytes(documents: Documents, end_of_text: int) -> np.ndarray:
    """This looks like ids of two bytes: those from 65,536 on become others, without a warning."""
    return right(documents, end_of_text).astype("<u2")


def empty_skipped(documents: Documents, end_of_text: int) -> np.ndarray:
    """This looks like a rule that leaves out empty documents: they end, too."""
    return right([document for document in documents if document], end_of_text)


def closed_if_not_empty(documents: Documents, end_of_text: int) -> np.ndarray:
    """This closes the last document only where the line holds something: an empty one ends, too."""
    line = last_end_missing(documents, end_of_text).tolist()
    return array([*line, end_of_text] if line else line)


def documents_changed(documents: Documents, end_of_text: int) -> np.ndarray:
    """This looks like a right line whose ends were written into the caller's documents as well."""
    for document in documents:
        document.append(end_of_text)
    return array([i for document in documents for i in document])


def by_chain(documents: Documents, end_of_text: int) -> np.ndarray:
    """The same in one expression."""
    closed = chain.from_iterable((*document, end_of_text) for document in documents)
    return np.fromiter(closed, dtype=np.uint32)


def by_places(documents: Documents, end_of_text: int) -> np.ndarray:
    """The same: a line full of ends, into which the documents are laid."""
    sizes = [len(document) for document in documents]
    line = np.full(sum(sizes) + len(sizes), end_of_text, dtype=np.uint32)
    start = 0
    for document, size in zip(documents, sizes, strict=True):
        line[start : start + size] = document
        start += size + 1
    return line


EXERCISE = Exercise(
    name="pack",
    notebook="06_pretraining_wikipedia",
    rating=1,
    minutes=10,
    right=right,
    cases=cases,
    mistakes=(
        without_ends,
        ends_in_front,
        ends_doubled,
        last_end_missing,
        one_end_for_all,
        closed_without_documents,
        two_bytes,
        empty_skipped,
        closed_if_not_empty,
        documents_changed,
    ),
    also_right=(by_chain, by_places),
    given=last_end_missing,
    observe=looked_at,
)
