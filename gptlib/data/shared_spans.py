"""Held-out documents that repeat a passage of the training split: what a model may know by heart.

A document is parted by a hash of its whole text, so a page and one that quotes it can fall on two
sides. The sign is a span of 20 tokens in common: too long for chance, short enough for a quoted
sentence. Source: Lee et al. 2022, *Deduplicating Training Data Makes Language Models Better*,
section 4, who take 50.

Spans are compared by 64 bits of hash. That one of 10^7 held-out spans meets the hash of another
among 10^8 of training has the probability 10^-4. Ids lie in files, each document ends with the
end-of-text id, and no span contains one. They are read in blocks: memory does not grow with them.
"""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from gptlib.data.span_filter import SpanFilter, among, distinct
from gptlib.tokenizer import Tokenizer

SPAN = 20  # tokens
IDS = 1 << 20  # ids read at a time: some 50 MB with what is worked out from them
AT_ONCE = 1 << 27  # held-out spans looked for in one pass: a filter of 256 MB
BASE = 0x9E3779B97F4A7C15  # odd, with bits everywhere

Spans = tuple[np.ndarray, np.ndarray]  # (n,) hashes and (n,) numbers of documents


def shared_spans(
    training: Path, held_out: Path, dtype: str, tokenizer: Tokenizer
) -> tuple[np.ndarray, int]:
    """Find the held-out documents that share a span of `SPAN` tokens with training.

    Nearly all training spans are in no held-out document, and a filter tells so of nearly all of
    them; those that are left are compared. Each pass looks for other hashes.

    Args:
        training, held_out: files of ids.
        dtype: the integer type of the ids.
        tokenizer: what made them; it has an end of text.

    Returns:
        The numbers of the documents in their file, from 0, sorted; and in how many places of
        them a span begins that training has.
    """
    number_of = np.random.Generator(np.random.Philox(key=SPAN)).integers(
        0, 1 << 64, tokenizer.vocab_size, dtype=np.uint64
    )  # (vocab_size,): ids are small and alike, random numbers are not
    n_ids = os.path.getsize(held_out) // np.dtype(dtype).itemsize
    passes = 1 + n_ids // AT_ONCE
    documents, places = [np.empty(0, dtype=np.int64)], 0
    for number in range(passes):
        held = partial(spans_of, held_out, dtype, number_of, tokenizer.end_of_text, number, passes)
        trained = spans_of(training, dtype, number_of, tokenizer.end_of_text, number, passes)
        wanted = SpanFilter(n_ids // passes)
        for hashes, _ in held():
            wanted.add(hashes)
        common = distinct(hashes[wanted.may_hold(hashes)] for hashes, _ in trained)
        for hashes, documents_of in held():
            shared = among(hashes, common)
            places += int(shared.sum())
            documents.append(np.unique(documents_of[shared]))
    return np.unique(np.concatenate(documents)), places


def spans_of(
    path: Path, dtype: str, number_of: np.ndarray, end_of_text: int | None, part: int, parts: int
) -> Iterator[Spans]:
    """The hash of every span and the number of its document; of the hashes one of several parts."""
    begun = 0  # documents before this block
    for ids in blocks(path, dtype, overlap=SPAN - 1):
        ends = ids == end_of_text  # (N,)
        before = begun + np.concatenate([[0], np.cumsum(ends)])  # (N + 1,)
        whole = before[SPAN:] == before[:-SPAN]  # (N − SPAN + 1,): no document ends inside
        hashes, documents = rolling(number_of[ids])[whole], before[:-SPAN][whole]
        now = slice(None) if parts == 1 else hashes % np.uint64(parts) == part
        yield hashes[now], documents[now]
        begun += int(ends[:IDS].sum())


def rolling(numbers: np.ndarray) -> np.ndarray:
    """Σ numbers[i + k]·BASE^(SPAN − 1 − k), k from 0 to SPAN − 1, modulo 2^64, for every i.

    Four sums of five each: 7 passes over the numbers, not 19.
    """
    fives = combined(numbers, 5, 1, BASE)
    return combined(fives, SPAN // 5, 5, pow(BASE, 5, 1 << 64))


def combined(numbers: np.ndarray, count: int, step: int, base: int) -> np.ndarray:
    """Σ numbers[i + k·step]·base^(count − 1 − k), k from 0 to count − 1, for every i."""
    n = max(0, len(numbers) - (count - 1) * step)
    total = numbers[:n].copy()
    for k in range(1, count):
        total *= np.uint64(base)
        total += numbers[k * step :][:n]
    return total


def leave_out(path: Path, dtype: str, documents: np.ndarray, tokenizer: Tokenizer) -> int:
    """Take documents, given by their numbers, out of a file of ids; returns their bytes of text."""
    begun = n_bytes = 0
    rest = path.with_suffix(".rest")
    with rest.open("wb") as file:
        for ids in blocks(path, dtype):
            ends = ids == tokenizer.end_of_text
            number = begun + np.cumsum(ends) - ends  # (N,): of each id's document
            dropped = np.isin(number, documents)
            file.write(ids[~dropped].tobytes())
            n_bytes += len(tokenizer.decode_bytes(ids[dropped & ~ends].tolist()))
            begun += int(ends.sum())
    rest.replace(path)
    return n_bytes


def blocks(path: Path, dtype: str, overlap: int = 0) -> Iterator[np.ndarray]:
    """The ids of a file, (`IDS` + overlap,) at a time; what overlaps comes twice."""
    item = np.dtype(dtype).itemsize
    for start in range(0, os.path.getsize(path) // item, IDS):
        yield np.fromfile(path, dtype, IDS + overlap, offset=start * item)
