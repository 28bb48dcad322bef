"""Held-out documents that repeat a passage of the training split: what a model may know by heart.

A document is parted by a hash of its whole text, so a page and one that quotes it can fall on two
sides. The sign is an n-gram of 20 tokens in common: too long for chance, short enough for a quoted
sentence. Source: Lee et al. 2022, *Deduplicating Training Data Makes Language Models Better*,
section 4, who take 50.

N-grams are compared by 64 bits of hash. That one of 10^7 held-out ones meets the hash of another
among 10^8 of training has the probability 10^-4. Ids lie in files, each document ends with the
end-of-text id, and no n-gram contains one. Files are read in blocks; what stays in memory is a
hash for each different n-gram of the held-out split.
"""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from gptlib.tokenizer import Tokenizer

SPAN = 20  # tokens
IDS = 1 << 20  # ids read at a time: some 50 MB with what is worked out from them
BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
FIRST_BITS = np.uint64(64 - 26)  # shifts a hash to its first 26 bits

Hashes = tuple[np.ndarray, np.ndarray]  # (n,) hashes and (n,) numbers of documents


def ngram_overlap(
    training: Path, held_out: Path, dtype: str, tokenizer: Tokenizer
) -> tuple[np.ndarray, int]:
    """Find the held-out documents that share `SPAN` tokens in a row with training.

    Args:
        training, held_out: files of ids.
        dtype: the integer type of the ids.
        tokenizer: what made them; it has an end of text.

    Returns:
        The numbers of the documents in their file, from 0, sorted; and in how many places of
        them an n-gram begins that training has.
    """
    hashes_of = partial(ngram_hashes, dtype=dtype, tokenizer=tokenizer)
    blocks_held = [np.unique(hashes) for hashes, _ in hashes_of(held_out)]
    known = np.concatenate([np.empty(0, dtype=np.uint64), *blocks_held])
    known.sort()
    # Nearly all n-grams of training are in no held-out document, and their first bits tell.
    likely = np.zeros(1 << 26, dtype=bool)
    for hashes in blocks_held:
        likely[hashes >> FIRST_BITS] = True
    del blocks_held
    shared = np.zeros(len(known), dtype=bool)
    for hashes, _ in hashes_of(training):
        places, found = look_up(hashes[likely[hashes >> FIRST_BITS]], known)
        shared[places[found]] = True
    common = known[shared]
    documents, n_places = [np.empty(0, dtype=np.int64)], 0
    for hashes, documents_of in hashes_of(held_out):
        _, found = look_up(hashes, common)
        documents.append(np.unique(documents_of[found]))
        n_places += int(found.sum())
    return np.unique(np.concatenate(documents)), n_places


def look_up(hashes: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where (n,) hashes stand among some that are sorted, and whether they do."""
    if len(known) == 0:
        return np.zeros(len(hashes), dtype=np.int64), np.zeros(len(hashes), dtype=bool)
    places = np.searchsorted(known[:-1], hashes)  # without the last: a place for every hash
    return places, known[places] == hashes


def ngram_hashes(path: Path, dtype: str, tokenizer: Tokenizer) -> Iterator[Hashes]:
    """The hash of every n-gram in a file, and the number of its document, block by block.

    The hash of the numbers a, b, c, … is a + b·BASE + c·BASE² + …, modulo 2^64: a difference of
    two running sums, divided by the power with which it begins.
    """
    number_of = np.random.Generator(np.random.Philox(key=SPAN)).integers(
        0, 1 << 64, tokenizer.vocab_size, dtype=np.uint64
    )  # (vocab_size,): ids are small and alike, random numbers are not
    powers, inverse_powers = (
        np.cumprod(np.full(IDS + SPAN, factor, dtype=np.uint64))
        for factor in (BASE, pow(BASE, -1, 1 << 64))
    )
    begun = 0  # documents before this block
    for ids in blocks(path, dtype, overlap=SPAN - 1):
        ends = ids == tokenizer.end_of_text  # (N,)
        before = begun + np.concatenate([[0], np.cumsum(ends)])  # (N + 1,)
        whole = before[SPAN:] == before[:-SPAN]  # (N − SPAN + 1,): no document ends inside
        sums = np.cumsum(number_of[ids] * powers[: len(ids)])  # (N,)
        sums = np.concatenate([np.zeros(1, dtype=np.uint64), sums])
        hashes = (sums[SPAN:] - sums[:-SPAN]) * inverse_powers[: len(whole)]
        yield hashes[whole], before[:-SPAN][whole]
        begun += int(ends[:IDS].sum())


def drop_documents(path: Path, dtype: str, documents: np.ndarray, tokenizer: Tokenizer) -> int:
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
