"""Documents into ids by several threads, in order, with only a few documents in memory."""

import os
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from gptlib.tokenizer import END_OF_TEXT, Tokenizer
from gptlib.tokenizer.bpe import safe_chunks
from gptlib.tokenizer.tokenizers import out_of_range

SLAB = 1 << 18  # characters that a thread tokenises at a time: a few hundredths of a second

Slab = list[tuple[str, bool]]  # texts, and whether a document ends there


def tokenise(
    parted: Iterable[tuple[str, str]], tokenizer: Tokenizer
) -> Iterator[tuple[str, np.ndarray]]:
    """The ids of documents, in slabs.

    Threads serve a tokenizer that leaves Python while it works, as tiktoken does; others are
    as fast as on one thread.

    Args:
        parted: the split and the text of each document, one by one.
        tokenizer: shared by the threads.

    Yields:
        A split and its next ids, uint32; each document ends with the end-of-text id, if the
        tokenizer has one.

    Raises:
        TokenizerError, TokenOutOfRange: a document cannot be encoded, or has got a bad id.
    """
    threads = os.cpu_count() or 1
    pending: deque[tuple[str, Future[np.ndarray]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for split, slab in slabs(parted):
            pending.append((split, pool.submit(encode_slab, tokenizer, slab)))
            if len(pending) > 2 * threads:  # enough for no thread to wait, little to hold
                done, future = pending.popleft()
                yield done, future.result()
        for done, future in pending:
            yield done, future.result()


def slabs(parted: Iterable[tuple[str, str]]) -> Iterator[tuple[str, Slab]]:
    """Gather the documents of each split until there is work worth handing to a thread."""
    waiting: dict[str, Slab] = {}
    sizes: dict[str, int] = {}
    for split, document in parted:
        for text, ends in cut_long(document):
            waiting.setdefault(split, []).append((text, ends))
            sizes[split] = sizes.get(split, 0) + len(text)
            if sizes[split] >= SLAB:
                yield split, waiting.pop(split)
                sizes[split] = 0
    yield from waiting.items()


def cut_long(document: str) -> Iterator[tuple[str, bool]]:
    """A document as it is, or parts of a long one that have the same ids as the whole."""
    if len(document) <= SLAB:
        yield document, True
        return
    for part in safe_chunks([document], SLAB):
        yield part, False
    yield "", True


def encode_slab(tokenizer: Tokenizer, slab: Slab) -> np.ndarray:
    """The ids of some texts, checked against the vocabulary."""
    found = encode_joined(tokenizer, slab) or encode_each(tokenizer, slab)
    try:
        ids = array("I", found)  # 32 bits and no sign
    except OverflowError:
        bad = next(i for i in found if i not in range(tokenizer.vocab_size))
        raise out_of_range(bad, tokenizer.vocab_size) from None
    line = np.frombuffer(ids, dtype=np.uintc)  # (n,)
    if line.size and line.max() >= tokenizer.vocab_size:
        raise out_of_range(line.max(), tokenizer.vocab_size)
    return line


def encode_joined(tokenizer: Tokenizer, slab: Slab) -> list[int] | None:
    """The ids of all texts in one call, end-of-text as text between; None where that may differ.

    One long call leaves Python alone for longer than many short ones: the threads would spend
    a third of their time waiting for each other.
    """
    whole = "".join([text + END_OF_TEXT if ends else text for text, ends in slab])
    alone = whole.count(END_OF_TEXT) == sum(ends for _, ends in slab)  # no text has it
    if list(tokenizer.special_tokens) != [END_OF_TEXT] or not alone:
        return None
    return tokenizer.encode(whole, allow_special=True)


def encode_each(tokenizer: Tokenizer, slab: Slab) -> list[int]:
    """The ids of all texts, one by one, and the end of text after each document."""
    ids = []
    for text, ends in slab:
        ids += tokenizer.encode(text)
        if ends and tokenizer.end_of_text is not None:
            ids.append(tokenizer.end_of_text)
    return ids
