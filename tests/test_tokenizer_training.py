"""BPE training: the merges of a plain loop that counts every pair anew, only faster."""

import warnings
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptlib.errors import OutOfPairsWarning, TokenizerError
from gptlib.tokenizer import BPETokenizer, train_bpe
from gptlib.tokenizer.pieces import PATTERN
from gptlib.tokenizer.training import count_pieces

TOY = "the theme then the hem"


def rescan_training(pieces: dict[bytes, int], n_merges: int) -> list[tuple[bytes, bytes]]:
    """The definition: count all pairs, merge the best everywhere, begin again."""
    words = {tuple(bytes([byte]) for byte in piece): count for piece, count in pieces.items()}
    merges = []
    for _ in range(n_merges):
        counts: Counter[tuple[bytes, bytes]] = Counter()
        for word, count in words.items():
            for pair in pairwise(word):
                counts[pair] += count
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair))
        merges.append(best)
        merged_words: dict[tuple[bytes, ...], int] = {}
        for word, count in words.items():
            merged: list[bytes] = []
            place = 0
            while place < len(word):
                step = 2 if word[place : place + 2] == best else 1
                merged.append(b"".join(word[place : place + step]))
                place += step
            merged_words[tuple(merged)] = merged_words.get(tuple(merged), 0) + count
        words = merged_words
    return merges


def in_bytes(pairs: list[tuple[int, int]]) -> list[tuple[bytes, bytes]]:
    tokens = [bytes([byte]) for byte in range(256)]
    for left, right in pairs:
        tokens.append(tokens[left] + tokens[right])
    return [(tokens[left], tokens[right]) for left, right in pairs]


def test_the_toy_merges_of_notebook_one() -> None:
    merges = in_bytes(train_bpe(count_pieces([TOY]), 4))
    # The fourth is a five-way tie at one occurrence: the greatest pair of byte strings wins.
    assert merges == [(b"h", b"e"), (b"t", b"he"), (b" ", b"the"), (b"m", b"e")]


def test_a_longer_token_is_greater_than_its_own_beginning() -> None:
    # After "ab" is made, (ab, c) and (a, x) occur twice each: b"ab" > b"a" decides.
    pieces = {b"abc": 2, b"ab": 1, b"ax": 2}
    assert in_bytes(train_bpe(pieces, 2)) == [(b"a", b"b"), (b"ab", b"c")]


@settings(deadline=None, max_examples=300)
@given(
    st.dictionaries(
        st.one_of(
            st.binary(min_size=1, max_size=12),
            st.text("ab", min_size=1, max_size=12).map(str.encode),
            st.text("the mn", min_size=1, max_size=10).map(str.encode),
        ),
        st.integers(1, 4),
        max_size=12,
    ),
    st.integers(0, 40),
)
def test_training_equals_a_rescan_of_all_pairs(pieces: dict[bytes, int], n_merges: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutOfPairsWarning)
        assert in_bytes(train_bpe(pieces, n_merges)) == rescan_training(pieces, n_merges)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text("aeht mn.\n", max_size=60), min_size=1, max_size=5), st.randoms())
def test_the_order_of_documents_does_not_matter(documents: list[str], random: object) -> None:
    shuffled = sorted(documents, key=lambda _: random.random())  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutOfPairsWarning)
        first = BPETokenizer.train(documents, 280)
        second = BPETokenizer.train(iter(shuffled), 280)
    assert first.merges == second.merges
    assert first.fingerprint == second.fingerprint


def test_a_text_without_more_pairs_warns_and_gives_a_smaller_vocabulary() -> None:
    with pytest.warns(OutOfPairsWarning, match="no pair left after 2 of 44 merges") as caught:
        tokenizer = BPETokenizer.train("abc", 300)
    assert tokenizer.vocab_size == 258
    assert caught[0].filename == __file__  # it points at the caller's line


def test_pieces_do_not_span_documents() -> None:
    assert count_pieces(["ab", "ab"]) == {b"ab": 2}


def test_special_tokens_are_cut_out_before_counting() -> None:
    assert count_pieces(["ab<s>ab<s><s>"], ["<s>"]) == {b"ab": 2}
    tokenizer = BPETokenizer.train("ab<s>ab", 258, ["<s>"])
    assert tokenizer.merges == [(b"a", b"b")]
    assert tokenizer.encode("ab<s>", allow_special=True) == [256, 257]


def test_a_vocabulary_without_room_for_the_bytes_is_refused() -> None:
    with pytest.raises(TokenizerError, match=r"vocab_size 256 .* ask for 257 or more"):
        BPETokenizer.train("text", 256, ["<s>"])


def test_training_refuses_a_lone_surrogate() -> None:
    with pytest.raises(TokenizerError, match=r"U\+D800 at position 2"):
        BPETokenizer.train(["fine", "ab\ud800"], 260)


@settings(deadline=None, max_examples=100)
@given(st.text("aehtmn é🙂\n'", max_size=80), st.text("aehtmn é🙂\n'", max_size=80))
def test_every_text_comes_back_from_a_trained_tokenizer(trained_on: str, text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutOfPairsWarning)
        tokenizer = BPETokenizer.train(trained_on, 290)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    # Encoding replays training: every piece of the training text ends as training left it.
    for piece in PATTERN.findall(trained_on):
        parts = [bytes([byte]) for byte in piece.encode()]
        for left, right in tokenizer.merges:
            place = 0
            while place < len(parts) - 1:
                if (parts[place], parts[place + 1]) == (left, right):
                    parts[place : place + 2] = [left + right]
                place += 1
        assert [tokenizer.decode_bytes([i]) for i in tokenizer.encode(piece)] == parts
