"""The algorithm: pieces and safe cuts, training as a plain recount would do it, encoding."""

import itertools
import random
import time
import warnings
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_texts import ANY_TEXT, AWKWARD_TEXT

from gptlib.errors import OutOfPairsWarning, TokenizerError
from gptlib.tokenizer import BPETokenizer, encode_piece, train_bpe
from gptlib.tokenizer.bpe import (
    CHUNK,
    LAST_SAFE_CUT,
    count_pretokens,
    encode_long_piece,
    plain_parts,
    pretokens,
    safe_chunks,
    split_special,
)

SPECIAL = ("<|end|>", "<|end|>!", "<a b>", " s", "##")


def merged(word: list[bytes], pair: tuple[bytes, bytes]) -> list[bytes]:
    """The definition of a merge: everywhere, from left to right."""
    word, place = list(word), 0
    while place < len(word) - 1:
        if (word[place], word[place + 1]) == pair:
            word[place : place + 2] = [pair[0] + pair[1]]
        place += 1
    return word


def rescan_training(pieces: dict[bytes, int], n_merges: int) -> list[tuple[bytes, bytes]]:
    """The definition: count all pairs, merge the best everywhere, begin again."""
    words = [([bytes([byte]) for byte in piece], count) for piece, count in pieces.items()]
    merges = []
    for _ in range(n_merges):
        counts: Counter[tuple[bytes, bytes]] = Counter()
        for word, count in words:
            for pair in pairwise(word):
                counts[pair] += count
        if not counts:
            break
        merges.append(max(counts, key=lambda pair: (counts[pair], pair)))
        words = [(merged(word, merges[-1]), count) for word, count in words]
    return merges


# --- pieces --------------------------------------------------------------------------------


@settings(deadline=None, max_examples=500)
@given(ANY_TEXT | AWKWARD_TEXT)
def test_a_safe_cut_changes_no_piece(text: str) -> None:
    for cut in LAST_SAFE_CUT.finditer(text):
        left, right = text[: cut.start()], text[cut.start() :]
        assert left and right
        assert pretokens(left) + pretokens(right) == pretokens(text)


def pieces_around(special_tokens: tuple[str, ...], text: str) -> list[str]:
    parts = split_special(text, special_tokens)
    return [p for n, part in enumerate(parts) for p in ([part] if n % 2 else pretokens(part))]


@pytest.mark.parametrize("special_tokens", [(), SPECIAL], ids=["plain", "special"])
def test_chunks_hold_whole_pieces_however_the_text_comes(special_tokens: tuple[str, ...]) -> None:
    words = st.lists(st.sampled_from([*SPECIAL, "<|e", "nd|", ">", "<a", " b", "s", "#", " "]))

    @settings(deadline=None, max_examples=500)
    @given(
        AWKWARD_TEXT | words.map("".join),
        st.lists(st.integers(0, 60), max_size=8),
        st.integers(1, 12),
    )
    def check(text: str, cuts: list[int], size: int) -> None:
        places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
        chunks = [text[first:last] for first, last in pairwise(places)]
        parts = list(safe_chunks(chunks, size, special_tokens))
        assert "".join(parts) == text and all(parts)
        found = [piece for part in parts for piece in pieces_around(special_tokens, part)]
        expected = pieces_around(special_tokens, text)
        assert [p for p in found if p] == [p for p in expected if p]

    check()


@pytest.mark.parametrize("special_tokens", [(), SPECIAL], ids=["plain", "special"])
def test_an_endless_text_comes_in_chunks_of_bounded_length(special_tokens: tuple[str, ...]) -> None:
    lines = itertools.repeat("some words,<a b> and\n")
    parts = itertools.islice(safe_chunks(lines, special_tokens=special_tokens), 5)
    assert all(CHUNK / 2 < len(part) < 2 * CHUNK for part in parts)
    parts = safe_chunks(["word " * CHUNK], special_tokens=special_tokens)
    lengths = [len(part) for part in parts]
    assert len(lengths) >= 4 and max(lengths) < 2 * CHUNK


# --- training ------------------------------------------------------------------------------

PIECES = st.dictionaries(
    st.one_of(
        st.binary(min_size=1, max_size=12),
        st.text("ab", min_size=1, max_size=12).map(str.encode),
        st.text("the mn", min_size=1, max_size=10).map(str.encode),
    ),
    st.integers(1, 4),
    max_size=12,
)


def test_the_toy_merges_of_notebook_one() -> None:
    merges = train_bpe(count_pretokens(["the theme then the hem"]), 4)
    # The fourth is a five-way tie at one occurrence: the greatest pair of byte strings wins.
    assert merges == [(b"h", b"e"), (b"t", b"he"), (b" ", b"the"), (b"m", b"e")]


def test_a_longer_token_is_greater_than_its_own_beginning() -> None:
    # After "ab" is made, (ab, c) and (a, x) occur twice each: b"ab" > b"a" decides.
    assert train_bpe({b"abc": 2, b"ab": 1, b"ax": 2}, 2) == [(b"a", b"b"), (b"ab", b"c")]


@settings(deadline=None, max_examples=300)
@given(PIECES, st.integers(0, 40))
def test_training_equals_a_rescan_of_all_pairs(pieces: dict[bytes, int], n_merges: int) -> None:
    assert train_bpe(pieces, n_merges) == rescan_training(pieces, n_merges)


def test_a_long_piece_is_trained_on_in_near_linear_time() -> None:
    letters = "".join(random.Random(0).choices("abcdefgh", k=160_000)).encode()
    seconds = []
    for length in (20_000, 160_000):
        start = time.process_time()
        train_bpe({letters[:length]: 1}, 300)
        seconds.append(time.process_time() - start)
    assert seconds[1] < 24 * seconds[0]  # 8 where it is linear, 64 where it is quadratic
    assert train_bpe({letters[:2000]: 1}, 40) == rescan_training({letters[:2000]: 1}, 40)


def test_pieces_do_not_span_documents_nor_special_tokens() -> None:
    assert count_pretokens(["ab", "ab"]) == {b"ab": 2}
    assert count_pretokens(plain_parts(["ab<s>ab<s><s>"], ["<s>"])) == {b"ab": 2}


# --- encoding ------------------------------------------------------------------------------


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(b"abc"), max_size=40).map(bytes), st.data())
def test_both_ways_of_encoding_replay_the_merges(piece: bytes, data: st.DataObject) -> None:
    merges: dict[tuple[int, int], int] = {}
    for _ in range(data.draw(st.integers(0, 12))):
        ids = st.sampled_from([*b"abc", *merges.values()])
        merges.setdefault((data.draw(ids), data.draw(ids)), 256 + len(merges))
    expected = list(piece)
    for pair, new_id in merges.items():  # each everywhere, from left to right
        place = 0
        while place < len(expected) - 1:
            if (expected[place], expected[place + 1]) == pair:
                expected[place : place + 2] = [new_id]
            place += 1
    assert encode_piece(piece, merges) == expected
    assert encode_long_piece(piece, merges) == expected


@settings(deadline=None, max_examples=100)
@given(st.text("aehtmn é🙂\n'", max_size=80), st.text("aehtmn é🙂\n'", max_size=80))
def test_encoding_replays_training(trained_on: str, text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutOfPairsWarning)
        tokenizer = BPETokenizer.train(trained_on, 290)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    for piece in pretokens(trained_on):  # every piece ends as training left it
        word = [bytes([byte]) for byte in piece.encode()]
        for pair in tokenizer.merges:
            word = merged(word, pair)
        assert [tokenizer.tokens[i] for i in tokenizer.encode(piece)] == word


def test_a_lone_surrogate_is_named_by_its_place() -> None:
    with pytest.raises(TokenizerError, match=r"U\+DFFF at position 7 .*ignore"):
        list(safe_chunks(["abc", "", "abca\udfffb"]))
