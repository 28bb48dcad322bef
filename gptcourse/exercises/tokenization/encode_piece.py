"""Exercise 1.2: the tokens of one piece, by replaying the merges, oldest first."""

from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

from gptcourse.exercises.exercise import Case, Exercise, Function
from gptlib.data.corpora import load_corpus
from gptlib.tokenizer import encoding
from gptlib.tokenizer.bpe import BPETokenizer
from gptlib.tokenizer.spelling import BytePair

Ranks = dict[BytePair, int]
BYTES = [bytes([byte]) for byte in range(256)]


def encode_piece(piece: bytes, ranks: Ranks) -> list[bytes]:
    """The package's own, which counts in ids, with its answer written in bytes."""
    merges = sorted(ranks, key=ranks.__getitem__)
    tokens = BYTES + [left + right for left, right in merges]
    ids = {token: token_id for token_id, token in enumerate(tokens)}
    merged = {(ids[left], ids[right]): ids[left + right] for left, right in merges}
    return [tokens[token_id] for token_id in encoding.encode_piece(piece, merged)]


@cache
def learned() -> tuple[BytePair, ...]:
    """300 merges from the sample story and the sample in Darija."""
    texts = [load_corpus(name).text for name in ("sample-story", "sample-darija")]
    return tuple(BPETokenizer.train(texts, 256 + 300).merges)


def ranked(*merges: BytePair) -> Ranks:
    """Number merges by their age."""
    return {pair: rank for rank, pair in enumerate(merges)}


def by_hand(piece: str, merges: str, backwards: bool = False) -> Case:
    """A piece under merges written `h|e t|he`, oldest first; the label shows all of it."""
    pairs = [tuple(half.encode() for half in merge.split("|")) for merge in merges.split(" ")]
    ranks: Ranks = ranked(*((left.replace(b"_", b" "), right) for left, right in pairs))
    label = f"{piece}; merges, oldest first: {merges.replace(' ', ', ')}".replace("_", "␣")
    if backwards:
        ranks, label = dict(reversed(ranks.items())), f"{label}; `ranks` lists the youngest first"
    return Case(label, (piece.replace("_", " ").encode(), ranks))


def cases() -> Iterator[Case]:
    """Words of two scripts under merges learned from a text, and small ones made by hand."""
    yield by_hand("_theme", "h|e t|he _|the m|e")
    yield by_hand("hehe", "h|e t|he _|the m|e")
    yield by_hand("abc", "b|c a|b")
    yield by_hand("abcabd", "b|c a|b ab|d", backwards=True)
    yield by_hand("aaaaaaa", "a|a aa|aa")
    yield by_hand("xabcdbcbc", "a|b c|d b|c x|a")
    yield by_hand("abc", "a|b b|c a|bc")
    yield by_hand("rspqrs", "r|s p|q q|rs")
    for word in (" the", " wonderful", " understanding", "café", "نهار", " وحد", "🙂"):
        yield Case(word.replace(" ", "␣"), (word.encode(), ranked(*learned())))
    yield Case("half a letter", (b"\xd9", ranked(*learned())))
    yield Case("one byte", (b"z", ranked(*learned())))
    yield Case("no bytes", (b"", ranked(*learned())))
    yield Case("no merges", (b"hem", {}))


def observe(function: Function, piece: bytes, ranks: Ranks) -> dict[str, Any]:
    """The result, and that it is a list."""
    answer = function(piece, ranks)
    return {"the result": answer, "its type": type(answer).__name__}


def one_by_one(piece: bytes) -> list[bytes]:
    """The bytes of a piece, each a token."""
    return [BYTES[byte] for byte in piece]


def glue(tokens: list[bytes], pair: BytePair) -> list[bytes]:
    """Merge a pair wherever it stands, from left to right."""
    glued, i = [], 0
    while i < len(tokens):
        found = tuple(tokens[i : i + 2]) == pair
        glued.append(pair[0] + pair[1] if found else tokens[i])
        i += 2 if found else 1
    return glued


def longest_match(piece: bytes, ranks: Ranks) -> list[bytes]:
    """This looks like taking the longest known token at every place; BPE replays its merges."""
    known = {left + right for left, right in ranks}
    tokens = []
    while piece:
        end = max([1, *(n for n in range(2, len(piece) + 1) if piece[:n] in known)])
        tokens.append(piece[:end])
        piece = piece[end:]
    return tokens


def leftmost(piece: bytes, ranks: Ranks) -> list[bytes]:
    """This looks like gluing the leftmost pair that is known, whatever its rank."""
    tokens = one_by_one(piece)
    while pair := next((pair for pair in pairwise(tokens) if pair in ranks), None):
        tokens = glue(tokens, pair)
    return tokens


def youngest(piece: bytes, ranks: Ranks) -> list[bytes]:
    """This looks like gluing the pair of the greatest rank, the youngest merge."""
    tokens = one_by_one(piece)
    while known := [pair for pair in pairwise(tokens) if pair in ranks]:
        tokens = glue(tokens, max(known, key=ranks.__getitem__))
    return tokens


def leftmost_alone(piece: bytes, ranks: Ranks) -> list[bytes]:
    """This looks like gluing the first known pair from the left and starting over: a pair further
    on may be older."""
    tokens = one_by_one(piece)
    while places := [i for i, pair in enumerate(pairwise(tokens)) if pair in ranks]:
        tokens[places[0] : places[0] + 2] = [tokens[places[0]] + tokens[places[0] + 1]]
    return tokens


def youngest_alone(piece: bytes, ranks: Ranks) -> list[bytes]:
    """This looks like gluing the youngest merge first: the smallest rank is the oldest one."""
    tokens = one_by_one(piece)
    while known := [(ranks[pair], i) for i, pair in enumerate(pairwise(tokens)) if pair in ranks]:
        place = max(known)[1]
        tokens[place : place + 2] = [tokens[place] + tokens[place + 1]]
    return tokens


def in_the_order_listed(piece: bytes, ranks: Ranks) -> list[bytes]:
    """This looks like taking the merges in the order in which `ranks` lists them: the rank, its
    value, says which is older."""
    tokens = one_by_one(piece)
    for pair in ranks:
        tokens = glue(tokens, pair)
    return tokens


def whole_numbers(piece: bytes, ranks: Ranks) -> list[int]:
    """This looks like `list(piece)`, which is numbers: a token is bytes, and no pair of numbers
    has a rank."""
    return list(piece)


def as_a_tuple(piece: bytes, ranks: Ranks) -> tuple[bytes, ...]:
    """This looks like returning a tuple, as the steps of this notebook do: a list is asked for."""
    return tuple(encode_piece(piece, ranks))


def rank_zero_is_false(piece: bytes, ranks: Ranks) -> list[bytes]:
    """This looks like `if rank:`, which is false for rank 0: the oldest merge is never used."""
    tokens = one_by_one(piece)
    while known := [pair for pair in pairwise(tokens) if ranks.get(pair)]:
        tokens = glue(tokens, min(known, key=ranks.__getitem__))
    return tokens


def one_merge(piece: bytes, ranks: Ranks) -> list[bytes]:
    """This looks like stopping after one merge: go on until no pair is known any more."""
    tokens = one_by_one(piece)
    known = [pair for pair in pairwise(tokens) if pair in ranks]
    return glue(tokens, min(known, key=ranks.__getitem__)) if known else tokens


def one_look(piece: bytes, ranks: Ranks) -> list[bytes]:
    """This looks like collecting the pairs once, at the start: gluing makes new pairs."""
    tokens = one_by_one(piece)
    known = {pair for pair in pairwise(tokens) if pair in ranks}
    for pair in sorted(known, key=ranks.__getitem__):
        tokens = glue(tokens, pair)
    return tokens


def by_glued_bytes(piece: bytes, ranks: Ranks) -> list[bytes]:
    """This looks like looking up the glued bytes: other halves may make them, not these two."""
    known = {left + right: rank for (left, right), rank in ranks.items()}
    tokens = one_by_one(piece)
    while pairs := [pair for pair in pairwise(tokens) if pair[0] + pair[1] in known]:
        tokens = glue(tokens, min(pairs, key=lambda pair: known[pair[0] + pair[1]]))
    return tokens


def characters(piece: bytes, ranks: Ranks) -> list[bytes]:
    """This looks like starting from characters: é, Arabic letters and emoji are several bytes."""
    tokens = [character.encode() for character in piece.decode()]
    while known := [pair for pair in pairwise(tokens) if pair in ranks]:
        tokens = glue(tokens, min(known, key=ranks.__getitem__))
    return tokens


def no_pair_left(piece: bytes, ranks: Ranks) -> list[bytes]:
    """This looks like taking the smallest of no pairs at all: one token has no neighbour."""
    tokens = one_by_one(piece)
    while True:
        pair = min(pairwise(tokens), key=lambda pair: ranks.get(pair, len(ranks)))
        if pair not in ranks:
            return tokens
        tokens = glue(tokens, pair)


def most_frequent(piece: bytes, ranks: Ranks) -> list[bytes]:
    """This looks like gluing the pair that is most frequent in this piece; only rank counts."""
    tokens = one_by_one(piece)
    while known := Counter(pair for pair in pairwise(tokens) if pair in ranks):
        tokens = glue(tokens, max(known, key=lambda pair: (known[pair], -ranks[pair])))
    return tokens


def used_up(piece: bytes, ranks: Ranks) -> list[bytes]:
    """This looks like taking used merges out of `ranks`: the next piece needs them again."""
    tokens = one_by_one(piece)
    while known := [pair for pair in pairwise(tokens) if pair in ranks]:
        oldest = min(known, key=ranks.__getitem__)
        del ranks[oldest]
        tokens = glue(tokens, oldest)
    return tokens


def from_the_right(piece: bytes, ranks: Ranks) -> list[bytes]:
    """This looks like gluing from right to left: where pairs overlap, the left one comes first."""
    tokens = one_by_one(piece)
    while known := [pair for pair in pairwise(tokens) if pair in ranks]:
        left, right = min(known, key=ranks.__getitem__)
        mirrored = [token[::-1] for token in reversed(tokens)]
        glued = glue(mirrored, (right[::-1], left[::-1]))
        tokens = [token[::-1] for token in reversed(glued)]
    return tokens


def replayed(piece: bytes, ranks: Ranks) -> list[bytes]:
    """Every merge there is, in the order in which it was learned."""
    tokens = one_by_one(piece)
    for pair in sorted(ranks, key=ranks.__getitem__):
        tokens = glue(tokens, pair)
    return tokens


def one_place_at_a_time(piece: bytes, ranks: Ranks) -> list[bytes]:
    """The oldest merge at its leftmost place, in a list that shrinks."""
    tokens = one_by_one(piece)
    while True:
        found = [(ranks[pair], i) for i, pair in enumerate(pairwise(tokens)) if pair in ranks]
        if not found:
            return tokens
        place = min(found)[1]
        tokens[place : place + 2] = [tokens[place] + tokens[place + 1]]


EXERCISE = Exercise(
    name="encode_piece",
    notebook="01_tokenization",
    rating=2,
    minutes=25,
    right=encode_piece,
    cases=cases,
    mistakes=(
        *(longest_match, leftmost, youngest, rank_zero_is_false, one_merge, one_look),
        *(leftmost_alone, youngest_alone, in_the_order_listed, whole_numbers, as_a_tuple),
        by_glued_bytes,
        *(characters, no_pair_left, most_frequent, used_up, from_the_right),
    ),
    also_right=(replayed, one_place_at_a_time),
    observe=observe,
)
