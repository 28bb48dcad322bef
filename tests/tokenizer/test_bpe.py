"""The algorithm: pieces and safe cuts, training as a plain recount would do it, encoding."""

import itertools
import random
import time
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizer_texts import AWKWARD_TEXT, merged

from gptlib.tokenizer import bpe
from gptlib.tokenizer.bpe import encode_long_piece, encode_piece, pretokens, safe_chunks, train_bpe

SPECIAL = ("<|end|>", "<|end|>!", "<a b>", " s", "##")


def rescan_training(pieces, n_merges):
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


def pieces_around(special_tokens, text):
    parts = bpe.split_special(text, special_tokens)
    return [p for n, part in enumerate(parts) for p in ([part] if n % 2 else pretokens(part))]


@pytest.mark.parametrize("special_tokens", [(), SPECIAL], ids=["plain", "special"])
def test_chunks_hold_whole_pieces_however_the_text_comes(special_tokens):
    words = st.lists(st.sampled_from([*SPECIAL, "<|e", "nd|", ">", "<a", " b", "s", "#", " "]))

    @settings(deadline=None, max_examples=500)
    @given(
        AWKWARD_TEXT | words.map("".join),
        st.lists(st.integers(0, 60), max_size=8),
        st.integers(1, 12),
    )
    def check(text, cuts, size):
        places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
        chunks = [text[first:last] for first, last in pairwise(places)]
        parts = list(safe_chunks(chunks, size, special_tokens))
        assert "".join(parts) == text and all(parts)
        found = [piece for part in parts for piece in pieces_around(special_tokens, part)]
        expected = pieces_around(special_tokens, text)
        assert [p for p in found if p] == [p for p in expected if p]

    check()


@pytest.mark.parametrize("special_tokens", [(), SPECIAL], ids=["plain", "special"])
def test_an_endless_text_comes_in_chunks_of_bounded_length(special_tokens):
    lines = itertools.repeat("some words,<a b> and\n")
    parts = itertools.islice(safe_chunks(lines, special_tokens=special_tokens), 5)
    assert all(bpe.CHUNK / 2 < len(part) < 2 * bpe.CHUNK for part in parts)
    parts = safe_chunks(["word " * bpe.CHUNK], special_tokens=special_tokens)
    lengths = [len(part) for part in parts]
    assert len(lengths) >= 4 and max(lengths) < 2 * bpe.CHUNK


PIECES = st.dictionaries(
    st.one_of(
        st.binary(min_size=1, max_size=12),
        st.text("ab", min_size=1, max_size=12).map(str.encode),
        st.text("the mn", min_size=1, max_size=10).map(str.encode),
    ),
    st.integers(1, 4),
    max_size=12,
)


# After "ab" is made, (ab, c) and (a, x) occur twice each: a longer token is greater than its
# own beginning.
@settings(deadline=None, max_examples=300)
@given(PIECES, st.integers(0, 40))
@example({b"abc": 2, b"ab": 1, b"ax": 2}, 2)
def test_training_equals_a_rescan_of_all_pairs(pieces, n_merges):
    assert train_bpe(pieces, n_merges) == rescan_training(pieces, n_merges)


def test_a_long_piece_is_trained_on_in_near_linear_time():
    letters = "".join(random.Random(0).choices("abcdefghijklmnop", k=10_000)).encode()
    fastest = []
    for length in (1_250, 10_000):
        seconds = []
        for _ in range(3):
            start = time.process_time()
            merges = train_bpe({letters[:length]: 1}, 10_000)  # until it is one token
            seconds.append(time.process_time() - start)
        fastest.append(min(seconds))
    assert b"".join(merges[-1]) == letters
    assert fastest[1] < 24 * fastest[0]  # 8 where it is linear, 64 where it is quadratic


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from([b"a", b"b", b"c"]), max_size=40), st.data())
def test_both_ways_of_encoding_replay_the_merges(word, data):
    piece, ids = b"".join(word), {bytes([byte]): byte for byte in range(256)}
    merges = {}
    for _ in range(data.draw(st.integers(0, 12))):
        tokens = st.sampled_from([b"a", b"b", b"c", *list(ids)[256:]])
        left, right = data.draw(tokens), data.draw(tokens)
        if left + right not in ids:
            merges[ids[left], ids[right]] = ids[left + right] = len(ids)
            word = merged(word, (left, right))
    expected = [ids[token] for token in word]
    assert encode_piece(piece, merges) == encode_long_piece(piece, merges) == expected
