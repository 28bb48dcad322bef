"""Exercise 1.3: the pair that training glues next."""

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise

from gptcourse.exercises.exercise import Case, Exercise
from gptlib.tokenizer import training
from gptlib.tokenizer.spelling import BytePair

Tokens = tuple[bytes, ...]
Pieces = Mapping[Tokens, int]


def counted(piece_counts: Pieces) -> Counter[BytePair]:
    """How often each pair of neighbours stands in the text."""
    counts: Counter[BytePair] = Counter()
    for tokens, count in piece_counts.items():
        for pair in pairwise(tokens):
            counts[pair] += count
    return counts


def best_pair(piece_counts: Pieces) -> BytePair | None:
    """The most frequent pair; among equals the greatest, as Python compares tuples of bytes."""
    counts = counted(piece_counts)
    return max(counts, key=lambda pair: (counts[pair], pair), default=None)


def case(label: str, text: str, *counts: int) -> Case:
    """Pieces written `t|h|e m|e` and how often each stands in the text; the label shows both."""
    pieces = [tuple(token.encode() for token in piece.split("|")) for piece in text.split(" ")]
    shown = ", ".join(f"{n} × {piece}" for n, piece in zip(counts, text.split(" "), strict=True))
    return Case(f"{label}: {shown}", (dict(zip(pieces, counts, strict=True)),))


def cases() -> Iterator[Case]:
    """A winner, ties of every kind, and pieces without a pair."""
    yield case("the toy without ␣", "t|h|e t|h|e|m|e t|h|e|n h|e|m", 2, 1, 1, 1)
    yield case("a rare piece of many pairs", "a|b|a|b|a|b x|y", 1, 5)
    yield case("edges of pieces", "e|x t|q e t", 3, 1, 4, 4)
    yield case("one piece, often", "h|m m|h|o", 9, 8)
    yield case("a tie", "e|m m|e", 2, 2)
    yield case("a tie of three", "a|b e|m b|c", 3, 3, 3)
    yield case("a tie of th|a and t|hz", "th|a t|hz", 4, 4)
    yield case("a tie of th|a and th|b", "th|a th|b th|ab", 4, 4, 1)
    yield case("the same tie, met the other way round", "th|b th|a", 4, 4)
    yield case("a tie of a long and a short token", "abc|d z|a", 4, 4)
    yield case("two pieces hold a|b", "a|b a|b|c x|y", 3, 2, 4)
    yield case("the same pair twice in a piece", "b|a|n|b|a z|y", 2, 3)
    yield case("three alike", "a|a|a z|y", 2, 3)
    yield Case("half letters", ({(b"\xd8", b"\xad"): 1, (b"\xd9", b"\x88"): 1, (b"z", b"z"): 1},))
    yield case("single tokens only", "the h", 7, 2)
    yield Case("no pieces", ({},))


def counts_ignored(piece_counts: Pieces) -> BytePair | None:
    """This looks like counting each different piece once, however often it stands in the text."""
    return best_pair(dict.fromkeys(piece_counts, 1))


def over_the_edge(piece_counts: Pieces) -> BytePair | None:
    """This looks like counting a piece's last token and the next piece's first as neighbours."""
    whole = tuple(token for tokens, count in piece_counts.items() for token in tokens * count)
    return best_pair({whole: 1})


def first_seen(piece_counts: Pieces) -> BytePair | None:
    """This looks like giving a tie to the pair that was met first: max() alone does so."""
    counts = counted(piece_counts)
    return max(counts, key=counts.__getitem__, default=None)


def last_seen(piece_counts: Pieces) -> BytePair | None:
    """This looks like giving a tie to the pair that was met last: `>=` where a loop compares."""
    counts = counted(piece_counts)
    return max(reversed(counts), key=counts.__getitem__, default=None)


def smallest(piece_counts: Pieces) -> BytePair | None:
    """This looks like giving a tie to the smallest pair instead of the greatest."""
    counts = counted(piece_counts)
    return min(counts, key=lambda pair: (-counts[pair], pair), default=None)


def glued_first(piece_counts: Pieces) -> BytePair | None:
    """This looks like comparing the glued tokens in a tie: compare the pairs, left half first."""
    counts = counted(piece_counts)
    return max(counts, key=lambda pair: (counts[pair], pair[0] + pair[1]), default=None)


def left_half_only(piece_counts: Pieces) -> BytePair | None:
    """This looks like comparing only the left halves in a tie: the right halves decide next."""
    counts = counted(piece_counts)
    return max(counts, key=lambda pair: (counts[pair], pair[0]), default=None)


def once_per_piece(piece_counts: Pieces) -> BytePair | None:
    """This looks like counting a pair once for a piece that holds it twice."""
    counts: Counter[BytePair] = Counter()
    for tokens, count in piece_counts.items():
        for pair in set(pairwise(tokens)):
            counts[pair] += count
    return max(counts, key=lambda pair: (counts[pair], pair), default=None)


def every_other(piece_counts: Pieces) -> BytePair | None:
    """This looks like stepping over two tokens after each pair: every token begins a pair."""
    counts: Counter[BytePair] = Counter()
    for tokens, count in piece_counts.items():
        for i in range(0, len(tokens) - 1, 2):
            counts[tokens[i], tokens[i + 1]] += count
    return max(counts, key=lambda pair: (counts[pair], pair), default=None)


def without_overlap(piece_counts: Pieces) -> BytePair | None:
    """This looks like counting as gluing does, without overlap: `a|a|a` holds `a|a` twice."""
    counts: Counter[BytePair] = Counter()
    for tokens, count in piece_counts.items():
        before = None
        for pair in pairwise(tokens):
            before = None if pair == before else pair
            counts[pair] += count if before else 0
    return max(counts, key=lambda pair: (counts[pair], pair), default=None)


def last_count(piece_counts: Pieces) -> BytePair | None:
    """This looks like `=` for `+=`: the counts of all pieces that hold a pair add up."""
    counts: dict[BytePair, int] = {}
    for tokens, count in piece_counts.items():
        for pair in pairwise(tokens):
            counts[pair] = count
    return max(counts, key=lambda pair: (counts[pair], pair), default=None)


def none_to_choose_from(piece_counts: Pieces) -> BytePair | None:
    """This looks like taking the greatest of no pairs at all: return None if there is none."""
    counts = counted(piece_counts)
    return max(counts, key=lambda pair: (counts[pair], pair))


def with_its_count(piece_counts: Pieces) -> tuple[BytePair, int] | None:
    """This looks like returning the pair together with its count; only the pair is asked for."""
    counts = counted(piece_counts)
    pair = best_pair(piece_counts)
    return None if pair is None else (pair, counts[pair])


def glued(piece_counts: Pieces) -> bytes | None:
    """This looks like returning the token that gluing would make; the pair is asked for."""
    pair = best_pair(piece_counts)
    return None if pair is None else b"".join(pair)


def by_sorting(piece_counts: Pieces) -> BytePair | None:
    """Everything in order, then the last."""
    ordered = sorted((count, pair) for pair, count in counted(piece_counts).items())
    return ordered[-1][1] if ordered else None


def in_a_loop(piece_counts: Pieces) -> BytePair | None:
    """The winner so far, in plain loops."""
    counts: dict[BytePair, int] = {}
    for tokens, count in piece_counts.items():
        for i in range(len(tokens) - 1):
            pair = tokens[i], tokens[i + 1]
            counts[pair] = counts.get(pair, 0) + count
    best = None
    for pair, count in counts.items():
        if best is None or count > counts[best] or (count == counts[best] and pair > best):
            best = pair
    return best


def from_the_queue(piece_counts: Pieces) -> BytePair | None:
    """As the package does it: numbered tokens, and a queue that hands out the winner."""
    tokens = sorted({token for piece in piece_counts for token in piece})
    counts = {(tokens.index(a), tokens.index(b)): n for (a, b), n in counted(piece_counts).items()}
    order = [training.tie_order(token) for token in tokens]
    queue = [(-n, order[a] + order[b], (a, b)) for (a, b), n in counts.items()]
    heapq.heapify(queue)
    best = training.best_pair(queue, counts)
    return None if best is None else (tokens[best[0]], tokens[best[1]])


EXERCISE = Exercise(
    name="best_pair",
    notebook="01_tokenization",
    rating=2,
    minutes=15,
    right=best_pair,
    cases=cases,
    mistakes=(
        *(counts_ignored, over_the_edge, first_seen, last_seen, smallest, glued_first),
        *(left_half_only, once_per_piece, every_other, last_count, none_to_choose_from),
        *(without_overlap, with_its_count, glued),
    ),
    also_right=(by_sorting, in_a_loop, from_the_queue),
)
