"""The exercises of notebook 01: merge, encode a piece, choose the next merge, decode a stream."""

import codecs
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import islice, pairwise
from typing import Any, TypeVar

from gptcourse.exercises.exercise import LONGEST, Case, Exercise, Function
from gptcourse.exercises.patches import mistakes
from gptlib.data.corpora import load_corpus
from gptlib.tokenizer import BPETokenizer, Tokenizer, bpe, decode_stream
from gptlib.tokenizer.vocabulary import BytePair, number_merges

NOTEBOOK = "01_tokenization"
Token = TypeVar("Token", int, bytes)  # exercise 1.1 merges ids, 1.2 the tokens themselves
Ranks = dict[BytePair, int]
Pieces = Mapping[tuple[bytes, ...], int]


def as_a_list(function: Function, *arguments: Any) -> dict[str, Any]:
    """The result, and that it is a list."""
    answer = function(*arguments)
    return {"the result": answer, "its type": type(answer).__name__}


# Exercise 1.1: in a list of ids, glue every pair of neighbors that a merge names.
def merge(ids: list[Token], pair: tuple[Token, Token], new_id: Token) -> list[Token]:
    """A new list, in which each `pair` of neighbors has become `new_id`."""
    merged, i = [], 0
    while i < len(ids):
        found = tuple(ids[i : i + 2]) == pair
        merged.append(new_id if found else ids[i])
        i += 2 if found else 1
    return merged


def merge_cases() -> Iterator[Case]:
    """Both ends, overlaps, neighbors that only look like the pair, and nothing at all."""
    for label, ids, pair, new_id in (
        ("in the middle", [116, 104, 101, 109], (104, 101), 256),
        ("at both ends", [1, 2, 7, 1, 2], (1, 2), 300),
        ("three alike", [1, 1, 1], (1, 1), 300),
        ("four alike, then five", [1, 1, 1, 1, 7, 1, 1, 1, 1, 1], (1, 1), 300),
        ("ids above 255", [500, 300, 301, 500, 300, 301, 4], (300, 301), 50_000),
        ("the pair the other way round", [2, 1, 1, 2, 2, 1], (1, 2), 300),
        ("11, 2 is not 1, 12", [11, 2, 1, 12, 1, 2, 111, 2], (1, 2), 300),
        ("new_id is one of the pair", [5, 7, 7, 5, 7], (5, 7), 5),
        ("the pair is not there", [3, 1, 4, 1, 5], (1, 2), 300),
        ("one id", [1], (1, 2), 300),
        ("no ids", [], (1, 2), 300),
    ):
        yield Case(f"{label}: {ids}, the pair {pair} and {new_id}", (ids, pair, new_id))


MERGE_MISTAKES = """
changing the caller's own list: build a new one and leave `ids` alone.
    return merged => ids[:] = merged; return ids
using one id for two merges: of three alike only the first two are a pair.
    found = => used = tuple(ids[i - 1 : i + 1]) == pair; found =
    merged.append( => merged.extend(
    new_id if found else ids[i] => [new_id] if found else [] if used else [ids[i]]
    2 if found else 1 => 1
stepping on by one after a merge: the pair's second id is copied as well.
    2 if found else 1 => 1
a loop that ends before the last id, which is lost unless it was glued.
    i < len(ids) => i < len(ids) - 1
asking the last id for its right neighbor: it has none.
    tuple(ids[i : i + 2]) => (ids[i], ids[i + 1])
`ids[i + 1]` at the last id, which has no right neighbor.
    tuple(ids[i : i + 2]) == pair => ids[i] == pair[0] and ids[i + 1] == pair[1]
every neighbor looked at in turn, without skipping the second id of a glued pair; and the last
id, which has no right neighbor, is lost.
    i < len(ids) => i < len(ids) - 1
    2 if found else 1 => 1
`ids[i + 1]` in a loop over every place: the last id has no right neighbor, and the second id of
a glued pair has to be skipped.
    tuple(ids[i : i + 2]) => (ids[i], ids[i + 1])
    2 if found else 1 => 1
comparing a list with a tuple, and nothing is glued: a slice of `ids` is a list, `pair` is a
tuple, and no list equals a tuple.
    tuple(ids[i : i + 2]) => ids[i : i + 2]
returning a tuple, as section 3 does with bytes: a list is asked for.
    return merged => return tuple(merged)
stopping after the first place where the pair stands.
    merged.append(new_id if found else ids[i]) => if found: return [*merged, new_id, *ids[i + 2 :]]
    i += 2 if found else 1 => merged.append(ids[i]); i += 1
gluing the pair the other way round too: `h|e` is not `e|h`.
    == pair => in (pair, pair[::-1])
reading the new list instead of `ids`: a new token is glued once more.
    tuple(ids[i : i + 2]) => (*merged[-1:], ids[i])
    merged.append( => found and merged.pop(); merged.append(
    2 if found else 1 => 1
replacing digits in a string: there the end of 11, 2 reads like 1, 2.
    merged, i = [], 0 => merged, i, line, old = [], 0, ",".join(map(str, ids)), "%d,%d" % pair
    return merged => return [int(n) for n in line.replace(old, str(new_id)).split(",") if n]
handling ids as bytes: a merged token's id is greater than 255.
    merged, i = [], 0 => merged, i, ids = [], 0, bytes(ids)
gluing from right to left: where pairs overlap, the left one comes first.
    merged, i = [], 0 => merged, i, ids, pair = [], 0, ids[::-1], pair[::-1]
    return merged => return merged[::-1]
"""


def merge_by_recursion(ids: list[int], pair: tuple[int, int], new_id: int) -> list[int]:
    """The first one or two ids, then the rest."""
    if not ids:
        return []
    found = tuple(ids[:2]) == pair
    return [new_id if found else ids[0], *merge_by_recursion(ids[1 + found :], pair, new_id)]


def merge_in_a_copy(ids: list[int], pair: tuple[int, int], new_id: int) -> list[int]:
    """A copy that becomes shorter with every merge."""
    merged = list(ids)
    for place in range(len(ids)):
        if tuple(merged[place : place + 2]) == pair:
            merged[place : place + 2] = [new_id]
    return merged


MERGE = Exercise(
    *("merge", NOTEBOOK, merge, merge_cases, mistakes(merge, MERGE_MISTAKES)),
    also_right=(merge_by_recursion, merge_in_a_copy),
    observe=as_a_list,
)


# Exercise 1.2: the tokens of one piece, by replaying the merges, oldest first.
def encode_piece(piece: bytes, ranks: Ranks) -> list[bytes]:
    """The tokens of `piece`: at every turn the oldest merge that fits, wherever it stands."""
    tokens = [piece[i : i + 1] for i in range(len(piece))]
    while known := [pair for pair in pairwise(tokens) if pair in ranks]:
        oldest = min(known, key=ranks.__getitem__)
        tokens = merge(tokens, oldest, b"".join(oldest))
    return tokens


@cache
def learned() -> Ranks:
    """300 merges from the sample story and the sample in Darija."""
    texts = [load_corpus(name).text for name in ("sample-story", "sample-darija")]
    merges = BPETokenizer.train(texts, 256 + 300).merges
    return {pair: rank for rank, pair in enumerate(merges)}


def by_hand(piece: str, merges: str) -> Case:
    """A piece under merges written `h|e t|he`, oldest first; the label shows all of it."""
    pairs = [both.replace("␣", " ").encode().split(b"|") for both in merges.split(" ")]
    ranks = {(left, right): rank for rank, (left, right) in enumerate(pairs)}
    label = f"{piece}; merges, oldest first: {merges.replace(' ', ', ')}"
    return Case(label, (piece.replace("␣", " ").encode(), ranks))


def encode_piece_cases() -> Iterator[Case]:
    """Words of two scripts under merges learned from a text, and small ones made by hand."""
    yield by_hand("␣theme", "h|e t|he ␣|the m|e")
    yield by_hand("hehe", "h|e t|he ␣|the m|e")
    yield by_hand("abc", "b|c a|b")
    label, (piece, ranks) = by_hand("abcabd", "b|c a|b ab|d")
    yield Case(f"{label}; `ranks` lists the youngest first", (piece, dict([*ranks.items()][::-1])))
    yield by_hand("aaaaaaa", "a|a aa|aa")
    yield by_hand("xabcdbcbc", "a|b c|d b|c x|a")
    yield by_hand("abc", "a|b b|c a|bc")
    yield by_hand("rspqrs", "r|s p|q q|rs")
    for word in (" the", " wonderful", " understanding", "café", "نهار", " وحد", "🙂"):
        yield Case(word.replace(" ", "␣"), (word.encode(), dict(learned())))
    yield Case("half a letter", (b"\xd9", dict(learned())))
    yield Case("one byte", (b"z", dict(learned())))
    yield Case("no bytes", (b"", dict(learned())))
    yield Case("no merges", (b"hem", {}))


def longest_match(piece: bytes, ranks: Ranks) -> list[bytes]:
    """This looks like taking the longest known token at every place; BPE replays its merges."""
    known = {left + right for left, right in ranks}
    tokens = []
    while piece:
        end = max([1, *(n for n in range(2, len(piece) + 1) if piece[:n] in known)])
        tokens.append(piece[:end])
        piece = piece[end:]
    return tokens


ENCODE_PIECE_MISTAKES = """
gluing the leftmost pair that is known, whatever its rank.
    min(known, key=ranks.__getitem__) => known[0]
gluing the pair of the greatest rank, the youngest merge.
    min(known => max(known
`if rank:`, which is false for rank 0: the oldest merge is never used.
    pair in ranks => ranks.get(pair)
stopping after one merge: go on until no pair is known any more.
    while known => if known
collecting the pairs once, at the start: gluing makes new pairs.
    while known := [pair for => for oldest in sorted({pair for
    if pair in ranks] => if pair in ranks}, key=ranks.__getitem__)
    oldest = min(known, key=ranks.__getitem__) => pass
taking the merges in the order in which `ranks` lists them: the rank, its value, says which is
older.
    while known := [pair for pair in pairwise(tokens) if pair in ranks] => for oldest in ranks
    oldest = min(known, key=ranks.__getitem__) => pass
`list(piece)`, which is numbers: a token is bytes, and no pair of numbers has a rank.
    [piece[i : i + 1] for i in range(len(piece))] => list(piece)
returning a tuple, as the steps of this notebook do: a list is asked for.
    return tokens => return tuple(tokens)
looking up the glued bytes: other halves may make them, not these two.
    range(len(piece))] => range(len(piece))]; ages = {a + b: rank for (a, b), rank in ranks.items()}
    if pair in ranks => if b"".join(pair) in ages
    ranks.__getitem__ => lambda pair: ages[b"".join(pair)]
starting from characters: é, Arabic letters and emoji are several bytes.
    piece[i : i + 1] for i in range(len(piece)) => letter.encode() for letter in piece.decode()
taking the smallest of no pairs at all: one token has no neighbor.
    in pairwise(tokens) => in [min(pairwise(tokens), key=lambda pair: ranks.get(pair, len(ranks)))]
gluing the pair that is most frequent in this piece; only rank counts.
    min(known => max(known
    ranks.__getitem__ => lambda pair: (known.count(pair), -ranks[pair])
taking used merges out of `ranks`: the next piece needs them again.
    key=ranks.__getitem__) => key=ranks.__getitem__); del ranks[oldest]
gluing from right to left: where pairs overlap, the left one comes first.
    merged, i = [], 0 => merged, i, ids, pair = [], 0, ids[::-1], pair[::-1]
    return merged => return merged[::-1]
"""


def one_place_at_a_time(piece: bytes, ranks: Ranks) -> list[bytes]:
    """The oldest merge at its leftmost place, in a list that shrinks."""
    tokens = [piece[i : i + 1] for i in range(len(piece))]
    while found := [(ranks[pair], i) for i, pair in enumerate(pairwise(tokens)) if pair in ranks]:
        _, place = min(found)
        tokens[place : place + 2] = [tokens[place] + tokens[place + 1]]
    return tokens


ONE_PLACE_MISTAKES = """
gluing the first known pair from the left and starting over: a pair further on may be older.
    min(found) => found[0]
gluing the youngest merge first: the smallest rank is the oldest one.
    min(found) => max(found)
"""


def encode_piece_as_the_package(piece: bytes, ranks: Ranks) -> list[bytes]:
    """The package's own, which counts in ids, with its answer written in bytes."""
    tokens, merged = number_merges(sorted(ranks, key=ranks.__getitem__))
    return [tokens[token_id] for token_id in bpe.encode_piece(piece, merged)]


ENCODE_PIECE = Exercise(
    *("encode_piece", NOTEBOOK, encode_piece, encode_piece_cases),
    mistakes=(
        longest_match,
        *mistakes(encode_piece, ENCODE_PIECE_MISTAKES, merge),
        *mistakes(one_place_at_a_time, ONE_PLACE_MISTAKES),
    ),
    also_right=(one_place_at_a_time, encode_piece_as_the_package),
    observe=as_a_list,
)


# Exercise 1.3: the pair that training glues next.
def count_pairs(piece_counts: Pieces) -> Counter[BytePair]:
    """How often each pair of neighbors stands in the text."""
    counts: Counter[BytePair] = Counter()
    for tokens, count in piece_counts.items():
        for pair in pairwise(tokens):
            counts[pair] += count
    return counts


def best_pair(piece_counts: Pieces) -> BytePair | None:
    """The most frequent pair; among equals the greatest, as Python compares tuples of bytes."""
    counts = count_pairs(piece_counts)
    return max(counts, key=lambda pair: (counts[pair], pair), default=None)


def counted(label: str, text: str, *counts: int) -> Case:
    """Pieces written `t|h|e m|e` and how often each stands in the text; the label shows both."""
    pieces = dict(zip(text.split(" "), counts, strict=True))
    shown = ", ".join(f"{count} × {piece}" for piece, count in pieces.items())
    tokens = {tuple(piece.encode().split(b"|")): count for piece, count in pieces.items()}
    return Case(f"{label}: {shown}", (tokens,))


def best_pair_cases() -> Iterator[Case]:
    """A winner, ties of every kind, and pieces without a pair."""
    yield counted("the toy without ␣", "t|h|e t|h|e|m|e t|h|e|n h|e|m", 2, 1, 1, 1)
    yield counted("a rare piece of many pairs", "a|b|a|b|a|b x|y", 1, 5)
    yield counted("edges of pieces", "e|x t|q e t", 3, 1, 4, 4)
    yield counted("one piece, often", "h|m m|h|o", 9, 8)
    yield counted("a tie", "e|m m|e", 2, 2)
    yield counted("a tie of three", "a|b e|m b|c", 3, 3, 3)
    yield counted("a tie of th|a and t|hz", "th|a t|hz", 4, 4)
    yield counted("a tie of th|a and th|b", "th|a th|b th|ab", 4, 4, 1)
    yield counted("the same tie, met the other way round", "th|b th|a", 4, 4)
    yield counted("a tie of a long and a short token", "abc|d z|a", 4, 4)
    yield counted("two pieces hold a|b", "a|b a|b|c x|y", 3, 2, 4)
    yield counted("the same pair twice in a piece", "b|a|n|b|a z|y", 2, 3)
    yield counted("three alike", "a|a|a z|y", 2, 3)
    yield Case("half letters", ({(b"\xd8", b"\xad"): 1, (b"\xd9", b"\x88"): 1, (b"z", b"z"): 1},))
    yield counted("single tokens only", "the h", 7, 2)
    yield Case("no pieces", ({},))


BEST_PAIR_MISTAKES = """
counting each different piece once, however often it stands in the text.
    += count => += 1
counting a piece's last token and the next piece's first as neighbors.
    piece_counts.items(): => [(sum((a * n for a, n in piece_counts.items()), ()), 1)]:
giving a tie to the pair that was met first: max() and most_common() alone do so.
    (counts[pair], pair) => counts[pair]
giving a tie to the pair that was met last: `>=` where a loop compares.
    max(counts => max(reversed(counts)
    (counts[pair], pair) => counts[pair]
giving a tie to the smallest pair instead of the greatest.
    max(counts => min(counts
    (counts[pair], pair) => (-counts[pair], pair)
comparing the glued tokens in a tie: compare the pairs, left half first.
    (counts[pair], pair) => (counts[pair], b"".join(pair))
comparing only the left halves in a tie: the right halves decide next.
    (counts[pair], pair) => (counts[pair], pair[0])
counting a pair once for a piece that holds it twice.
    pairwise(tokens) => set(pairwise(tokens))
stepping over two tokens after each pair: every token begins a pair.
    pairwise(tokens) => zip(tokens[::2], tokens[1::2])
`=` for `+=`: the counts of all pieces that hold a pair add up.
    += count => = count
taking the greatest of no pairs at all: return None if there is none.
    , default=None =>
`most_common(1)[0]`: a tie goes to the pair that was met first, and without any pair there is no
place 0. Compare (count, pair), and return None if there is none.
    max(counts, key=lambda pair: (counts[pair], pair), default=None) => counts.most_common(1)[0][0]
max() over the counts alone: a tie goes to the pair that was met first, and the greatest of no
pairs at all is an error.
    (counts[pair], pair), default=None => counts[pair]
counting as gluing does, without overlap: `a|a|a` holds `a|a` twice.
    pairwise(tokens) => set(pairwise(tokens))
    += count => += count * (len(tokens) - len(merge(tokens, pair, b"")))
returning the pair together with its count; only the pair is asked for.
    return max( => best = max(
    default=None) => default=None); return best and (best, counts[best])
returning the token that gluing would make; the pair is asked for.
    return max( => best = max(
    default=None) => default=None); return best and b"".join(best)
"""


def in_order(piece_counts: Pieces) -> BytePair | None:
    """Everything in order, then the last."""
    ordered = sorted((count, pair) for pair, count in count_pairs(piece_counts).items())
    return ordered[-1][1] if ordered else None


def in_two_steps(piece_counts: Pieces) -> BytePair | None:
    """The highest count, then the greatest pair that has it."""
    counts = count_pairs(piece_counts)
    return max((pair for pair in counts if counts[pair] == max(counts.values())), default=None)


BEST_PAIR = Exercise(
    *("best_pair", NOTEBOOK, best_pair, best_pair_cases),
    mistakes=mistakes(best_pair, BEST_PAIR_MISTAKES, count_pairs),
    also_right=(in_order, in_two_steps),
)


# Exercise 1.4, spot the bug: text from ids that come one by one, in whole letters.

STREAM_MERGES = [
    *((b"h", b"e"), (b"t", b"he"), (b" ", b"the"), (b" ", b"\xd9"), (b"\xd8", b"\xaf")),
    *((b"\xf0", b"\x9f"), (b"\x99", b"\x82"), (b"m", b"\n")),
]


def decode_stream_cases() -> Iterator[Case]:
    """Letters of one byte to four, cut in every way."""
    tokenizer = BPETokenizer.from_merges(STREAM_MERGES)
    for text in ("the hem", "وحد نهار", "🙂 the café", "them\nthe\thé", "語 "):
        label = text.replace(" ", "␣").replace("\n", "⏎").replace("\t", "→")
        yield Case(label, (tokenizer, tokenizer.encode(text)))
    yield Case("ends inside a letter", (tokenizer, tokenizer.encode("the ح")[:-1]))
    yield Case("half a letter, then the␣the", (tokenizer, [0xD8, *tokenizer.encode("the the")]))
    yield Case("no ids", (tokenizer, []))


def text_shown(function: Function, tokenizer: Tokenizer, ids: list[int]) -> dict[str, Any]:
    """What a reader sees after each id, and whether empty parts came."""
    names = [*(f"id number {number}" for number in range(1, len(ids) + 1)), "the end"]
    shown, place, empty = [""] * len(names), 0, 0

    def arriving() -> Iterator[int]:
        nonlocal place
        for token_id in ids:
            yield token_id
            place += 1

    parts = function(tokenizer, arriving())
    if not hasattr(parts, "__iter__"):
        return {"the result": parts}
    for part in islice(parts, LONGEST):
        if not isinstance(part, str):
            raise TypeError(f"each part has to be text, came {type(part).__name__}")
        shown[place] += part
        empty += not part
    seen = {f"the text shown after {name}": text for name, text in zip(names, shown, strict=True)}
    return {**seen, "parts without text": empty}


def token_by_token(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """This looks like decoding each token by itself: half a letter alone is shown as �."""
    for token_id in ids:
        yield tokenizer.decode([token_id])


DECODE_STREAM_MISTAKES = """
errors="ignore" for each token: both halves of a letter are dropped.
    decoder.decode(tokenizer => (tokenizer
    [token_id])) => [token_id]).decode(errors="ignore"))
forgetting the bytes that still wait after the last id.
    decoder.decode(b"", final=True) => ""
reading every id before any text is shown: then nothing streams.
    in ids => in list(ids)
yielding an empty text while a letter waits for its second half.
    text := decoder => (text := decoder
    [token_id])) => [token_id]))) is not None
a decoder without errors="replace": bytes that never become a letter are an error to it.
    errors="replace" =>
yielding the whole text so far each time instead of what is new.
    errors="replace") => errors="replace"); so_far = ""
    yield text => so_far += text; yield so_far
    yield rest => yield so_far + rest
a new decoder for each token: what waits in the old one is lost.
    decoder.decode(tokenizer => codecs.getincrementaldecoder("utf-8")("replace").decode(tokenizer
"""


def until_no_sign(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """This looks like holding everything back while the text ends in �: the whole letters before
    the half one wait with it."""
    waiting: bytes = b""
    for token_id in ids:
        waiting += tokenizer.decode_bytes([token_id])
        text = waiting.decode("utf-8", errors="replace")
        if not text.endswith("�"):
            yield text
            waiting = b""
    if waiting:
        yield waiting.decode("utf-8", errors="replace")


WAITING_MISTAKES = """
waiting until all bytes are valid together: whole letters wait for the half one behind them, and a
broken one blocks everything.
    text.endswith("�") => "�" in text
waiting until all bytes are valid together, and forgetting those that still wait after the last id:
whole letters wait for the half one behind them, and a broken one swallows everything.
    text.endswith("�") => "�" in text
    if waiting: => if False:
waiting for a space: whole letters should not wait for the word's end.
    text = waiting.decode( => head, space, rest = waiting.rpartition(b" "); text = head.decode(
    not text.endswith("�") => text
    waiting = b"" => waiting = space + rest
"""


def by_leftovers(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """Decode what is whole each time, and keep the bytes that could still become a letter."""
    left = b""
    for token_id in ids:
        left += tokenizer.decode_bytes([token_id])
        text, used = codecs.utf_8_decode(left, "replace", False)
        left = left[used:]
        if text:
            yield text
    if left:
        yield left.decode(errors="replace")


DECODE_STREAM = Exercise(
    *("decode_stream", NOTEBOOK, decode_stream, decode_stream_cases),
    mistakes=(
        token_by_token,
        *mistakes(decode_stream, DECODE_STREAM_MISTAKES),
        until_no_sign,
        *mistakes(until_no_sign, WAITING_MISTAKES),
    ),
    also_right=(
        by_leftovers,
        lambda tokenizer, ids: codecs.iterdecode(
            (tokenizer.decode_bytes([token_id]) for token_id in ids), "utf-8", "replace"
        ),
    ),
    given=token_by_token,
    observe=text_shown,
)

EXERCISES = (MERGE, ENCODE_PIECE, BEST_PAIR, DECODE_STREAM)
