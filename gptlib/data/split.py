"""Training text and held-out text, split before windows are cut; and what documents share.

Neighboring windows of one text overlap in words and in subject, so a validation that is drawn
from them measures memory. Whole documents are split instead, each by a hash of its own text:
no order, no random state and no index decides where it goes.

A page and one that quotes it can fall on two sides. Its sign is an n-gram of 20 tokens in common:
too long for chance, short enough for a quoted sentence. Source: Lee et al. 2022, *Deduplicating
Training Data Makes Language Models Better*, section 4, who take 50.
"""

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, count

import numpy as np

from gptlib.errors import ConfigError, CorpusError
from gptlib.tokenizer import Tokenizer

FEWEST_DOCUMENTS = 20  # with fewer, one document more or less would change the share too much
SPLITS = ("train", "validation", "test")

SHINGLE = 5  # characters; short texts have too few words to compare by words
PERMUTATIONS = 128  # standard error of the estimated overlap: 1/√128 = 0.09
NGRAM = 20  # tokens
IDS = 1 << 20  # ids looked at together: some 50 MB with what is worked out from them
BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
FIRST_BITS = np.uint64(64 - 26)  # shifts a hash to its first 26 bits


def normalize(document: str) -> str:
    """A document without what copies often differ in: case, spacing and Unicode form."""
    return " ".join(unicodedata.normalize("NFKC", document).casefold().split())


def hash_fraction(document: str) -> float:
    """Where a document stands in [0, 1): the same in every process and on every machine."""
    digest = hashlib.sha256(normalize(document).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48  # 48 bits are exact in a float


def split_of(document: str, validation: float = 0.1, test: float = 0.0) -> str:
    """Which of `SPLITS` a document belongs to, from its own text alone."""
    fraction = hash_fraction(document)
    if fraction <= validation:
        return "validation"
    return "test" if fraction <= validation + test else "train"


def split_stream(
    documents: Iterable[str], validation: float = 0.1, test: float = 0.0
) -> Iterator[tuple[str, str]]:
    """Split documents as they come, in memory that does not grow with the corpus.

    Only the first 20 documents, or those before the first one that is held out, are kept at once.
    The document with the smallest hash is always held out, so that a validation exists.

    Args:
        documents: read once. Fewer than 20 are joined and cut instead.
        validation, test: the shares that are held out; the rest is for training.

    Yields:
        The split and the document, in the order given.

    Raises:
        ConfigError: a share is negative, or none is left to train or to validate on.
        CorpusError: a corpus that had to be cut leaves a side empty.
    """
    if not (validation > 0 and test >= 0 and validation + test < 1):
        raise ConfigError(
            f"validation {validation} and test {test}: give shares above 0 (test may be 0) that "
            f"leave something to train on"
        )
    documents, first, found = iter(documents), [], False
    for document in documents:
        first.append(document)
        found = found or split_of(document, validation, test) == "validation"
        if found and len(first) >= FEWEST_DOCUMENTS:
            break
    if len(first) < FEWEST_DOCUMENTS:
        training, held_out = cut_text("\n\n".join(first), validation + test)
        yield "train", training
        if test:
            held_out, last = cut_text(held_out, test / (validation + test))
            yield "test", last
        yield "validation", held_out
        return
    if not found:  # the whole corpus was read
        validation = min(map(hash_fraction, first))
    for document in chain(first, documents):
        yield split_of(document, validation, test), document


def split_documents(
    documents: Iterable[str], validation: float = 0.1
) -> tuple[list[str], list[str]]:
    """Training and validation documents of a corpus, each side in the order given.

    Args:
        documents: see :func:`split_stream`; fewer than 20 become one text on each side.
        validation: the share of validation.

    Raises:
        CorpusError: one side would be empty.
    """
    sides: dict[str, list[str]] = {"train": [], "validation": []}
    for side, document in split_stream(documents, validation):
        sides[side].append(document)
    if not sides["train"]:
        raise CorpusError(
            f"all {len(sides['validation'])} documents are held out: they are equal or validation "
            f"{validation} is too large: use more documents or a smaller share"
        )
    return sides["train"], sides["validation"]


def cut_text(text: str, share: float) -> tuple[str, str]:
    """A text without this share of it, and that share, its end."""
    place = int(len(text) * (1 - share))
    if not 0 < place < len(text):
        raise CorpusError(
            f"{len(text)} characters leave a side empty with a share of {share}: "
            f"use a longer text or another share"
        )
    return text[:place], text[place:]


# Duplicates: tests that remember what they were asked before


def exact_duplicates() -> Callable[[str], bool]:
    """A test whether an equal text came before.

    Of each text a hash of 16 bytes is kept, some 80 MB for a million with Python's set around
    them; that two of 2^32 different texts share one has the probability 2^-65.
    """
    seen: set[bytes] = set()

    def is_seen(text: str) -> bool:
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        known = digest in seen
        seen.add(digest)
        return known

    return is_seen


def similar_to_earlier(threshold: float) -> Callable[[str], bool]:
    """A test whether an earlier text shares this much of its five-letter spans (Jaccard).

    Overlap is estimated (MinHash), and only texts in a common bucket are compared (locality-
    sensitive hashing): a pair near the threshold may go either way, and the time for each does not
    grow with the corpus; memory is a few kilobytes a text. Source: Leskovec, Rajaraman, Ullman,
    *Mining of Massive Datasets*, chapter 3.
    """
    try:
        import datasketch  # brings scipy, 140 MB: only who asks for it needs it
    except ImportError as error:
        raise ConfigError(
            f"near-duplicates need a package that is not here ({error}): "
            "pip install datasketch, or leave near-duplicates in"
        ) from error
    if not 0 < threshold < 1:
        raise ConfigError(f"near-duplicates from {threshold} on: give a share between 0 and 1")
    index = datasketch.MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS)
    number = count()

    def is_near(text: str) -> bool:
        sketch = datasketch.MinHash(num_perm=PERMUTATIONS)
        sketch.update_batch(shingles(text))
        if index.query(sketch):
            return True
        index.insert(next(number), sketch, check_duplication=False)
        return False

    return is_near


def shingles(text: str) -> list[bytes]:
    """The different spans of five letters or digits, without case and all else."""
    level = "".join(filter(str.isalnum, text.casefold()))
    spans = {level[i : i + SHINGLE] for i in range(max(1, len(level) - SHINGLE + 1))}
    return [span.encode() for span in spans]


# Overlap. Ids lie on a line, the end-of-text id behind each document, and no n-gram contains one.
# N-grams are compared by 64 bits of hash: that one of 10^7 held-out ones meets the hash of another
# among 10^8 of training has the probability 10^-4. Both lines may lie on the disk: what stays
# in memory is a hash for each different n-gram that is held out.


def ngram_overlap(
    training: np.ndarray, held_out: np.ndarray, tokenizer: Tokenizer
) -> tuple[np.ndarray, int]:
    """Find the held-out documents that share `NGRAM` tokens in a row with training.

    Args:
        training, held_out: (N,) ids each.
        tokenizer: what made them; it has an end of text.

    Returns:
        The numbers of the documents, from 0, sorted; and in how many places of them an n-gram
        begins that training has.
    """
    known = np.concatenate([np.unique(hashes) for hashes, _ in ngram_hashes(held_out, tokenizer)])
    known = np.unique(known)
    # Nearly all n-grams of training are in no held-out document, and their first bits tell.
    likely = np.zeros(1 << 26, dtype=bool)
    likely[known >> FIRST_BITS] = True
    shared = np.zeros(len(known), dtype=bool)
    for hashes, _ in ngram_hashes(training, tokenizer):
        candidates = hashes[likely[hashes >> FIRST_BITS]]
        places = np.searchsorted(known[:-1], candidates)  # without the last: a place for each
        shared[places[known[places] == candidates]] = True
    documents, n_places = [], 0
    for hashes, numbers in ngram_hashes(held_out, tokenizer):
        found = np.isin(hashes, known[shared])
        documents.append(np.unique(numbers[found]))
        n_places += int(found.sum())
    return np.unique(np.concatenate(documents)), n_places


def ngram_hashes(line: np.ndarray, tokenizer: Tokenizer) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The hash of every n-gram on a line of ids, and the number of its document, block by block.

    The hash of the numbers a, b, c, … is a + b·BASE + c·BASE² + …, modulo 2^64: a difference of
    two running sums, divided by the power with which it begins.
    """
    number_of = np.random.Generator(np.random.Philox(key=NGRAM)).integers(
        0, 1 << 64, tokenizer.vocab_size, dtype=np.uint64
    )  # (vocab_size,): ids are small and alike, random numbers are not
    powers, inverse_powers = (
        np.cumprod(np.full(IDS + NGRAM, factor, dtype=np.uint64))
        for factor in (BASE, pow(BASE, -1, 1 << 64))
    )
    finished = 0  # documents before this block
    for start in range(0, len(line), IDS):
        ids = line[start : start + IDS + NGRAM - 1]  # (N,): the last n-gram that begins here ends
        ends = ids == tokenizer.end_of_text  # (N,)
        before = finished + np.concatenate([[0], np.cumsum(ends)])  # (N + 1,)
        whole = before[NGRAM:] == before[:-NGRAM]  # (N − NGRAM + 1,): no document ends inside
        sums = np.cumsum(number_of[ids] * powers[: len(ids)])  # (N,)
        sums = np.concatenate([np.zeros(1, dtype=np.uint64), sums])
        hashes = (sums[NGRAM:] - sums[:-NGRAM]) * inverse_powers[: len(whole)]
        yield hashes[whole], before[:-NGRAM][whole]
        finished += int(ends[:IDS].sum())


def drop_overlapping(
    line: np.ndarray, documents: np.ndarray, tokenizer: Tokenizer
) -> tuple[np.ndarray, int]:
    """A line of ids without some documents, given by their numbers, and their bytes of text."""
    ends = line == tokenizer.end_of_text  # (N,)
    numbers = np.cumsum(ends) - ends  # (N,): of each id's document
    dropped = np.isin(numbers, documents)
    n_bytes = len(tokenizer.decode_bytes(line[dropped & ~ends].tolist()))
    return line[~dropped], n_bytes
