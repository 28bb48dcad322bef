"""Streams: the ids of the whole text in constant memory, and text in whole characters."""

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_texts import ANY_TEXT, AWKWARD_TEXT, texts_in_all_scripts

from gptlib.errors import TokenizerError
from gptlib.tokenizer import BPETokenizer, CharacterTokenizer, Tokenizer, decode_stream
from gptlib.tokenizer import load_tokenizer as load
from gptlib.tokenizer.pieces import LAST_SAFE_CUT, PART_SIZE, PATTERN, whole_pieces


@pytest.fixture(scope="session")
def trained() -> BPETokenizer:
    return BPETokenizer.train(texts_in_all_scripts(per_script=5, seed=1), 700)


@settings(deadline=None, max_examples=500)
@given(ANY_TEXT | AWKWARD_TEXT)
def test_a_safe_cut_changes_no_piece(text: str) -> None:
    for cut in LAST_SAFE_CUT.finditer(text):
        left, right = text[: cut.start()], text[cut.start() :]
        assert left and right
        assert PATTERN.findall(left) + PATTERN.findall(right) == PATTERN.findall(text)


@settings(deadline=None, max_examples=500)
@given(AWKWARD_TEXT, st.lists(st.integers(0, 60), max_size=8), st.integers(1, 12))
def test_parts_hold_whole_pieces_however_the_text_comes(
    text: str, cuts: list[int], size: int
) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    chunks = [text[first:last] for first, last in itertools.pairwise(places)]
    parts = list(whole_pieces(chunks, size))
    assert "".join(parts) == text
    pieces = [piece for part in parts for piece in PATTERN.findall(part)]
    assert pieces == PATTERN.findall(text)


@pytest.mark.parametrize("size", [1, 7, 1000, 10**9])
def test_a_stream_has_the_ids_of_the_whole(trained: BPETokenizer, size: int) -> None:
    text = "\n".join(texts_in_all_scripts(per_script=20, seed=2))
    tokenizers: list[Tokenizer] = [trained, load("gpt2"), CharacterTokenizer.train(text)]
    for tokenizer in tokenizers:
        chunks = (text[first : first + size] for first in range(0, len(text), size))
        assert list(tokenizer.encode_iterable(chunks)) == tokenizer.encode(text)


def test_special_tokens_in_a_stream_are_plain_text() -> None:
    gpt2 = load("gpt2")
    chunks = ["one<|endof", "text|>two"]
    assert list(gpt2.encode_iterable(chunks)) == gpt2.encode("".join(chunks))


def test_an_endless_text_is_encoded_in_parts_of_bounded_length(trained: BPETokenizer) -> None:
    parts = whole_pieces(itertools.repeat("some words, and\n"))
    assert all(PART_SIZE / 2 < len(part) < 2 * PART_SIZE for part in itertools.islice(parts, 5))
    ids = trained.encode_iterable(itertools.repeat("some words, and\n"))
    assert len(list(itertools.islice(ids, 100_000))) == 100_000


def test_one_huge_chunk_is_cut_too() -> None:
    parts = list(whole_pieces(["word " * PART_SIZE]))
    assert len(parts) >= 4 and max(map(len, parts)) < 2 * PART_SIZE


@pytest.mark.parametrize("size", [1, 5000])
def test_a_text_without_a_place_to_cut_still_works(trained: BPETokenizer, size: int) -> None:
    text = "a" * 100_000
    chunks = (text[first : first + size] for first in range(0, len(text), size))
    assert list(trained.encode_iterable(chunks)) == trained.encode(text)


def test_ids_come_before_the_text_has_ended(trained: BPETokenizer) -> None:
    line = "a line of words\n"
    taken = []

    def lines() -> Iterator[str]:
        while True:
            taken.append(line)
            yield line

    next(trained.encode_iterable(lines()))
    assert len(taken) * len(line) < 2 * PART_SIZE


def test_a_lone_surrogate_is_named_by_its_place_in_the_stream(trained: BPETokenizer) -> None:
    for tokenizer in (trained, load("gpt2"), CharacterTokenizer("abc")):
        with pytest.raises(TokenizerError, match="at position 7 "):
            list(tokenizer.encode_iterable(["abc", "", "abca\udfffb"]))


@settings(deadline=None, max_examples=300)
@given(st.lists(st.integers(0, 255), max_size=30) | ANY_TEXT.map(lambda t: list(t.encode())))
def test_streamed_text_joins_to_the_whole(ids: list[int]) -> None:
    tokenizer = BPETokenizer({bytes([byte]): byte for byte in range(256)}, [])
    parts = list(decode_stream(tokenizer, ids))
    assert "".join(parts) == tokenizer.decode(ids)
    assert all(parts)


def test_no_arabic_letter_is_shown_in_halves() -> None:
    gpt2 = load("gpt2")
    ids = gpt2.encode("وحد نهار 🙂")
    assert any("�" in gpt2.decode([token_id]) for token_id in ids)
    parts = list(decode_stream(gpt2, ids))
    assert "".join(parts) == "وحد نهار 🙂"
    assert not any("�" in part for part in parts)


def test_a_character_that_never_ends_is_shown_as_such() -> None:
    tokenizer = BPETokenizer({bytes([byte]): byte for byte in range(256)}, [])
    assert list(decode_stream(tokenizer, b"ab\xd9")) == ["a", "b", "�"]


def test_text_is_streamed_as_soon_as_it_is_whole() -> None:
    def ids() -> Iterator[int]:
        yield from "hé".encode()
        raise AssertionError("asked for more before showing what was whole")

    tokenizer = BPETokenizer({bytes([byte]): byte for byte in range(256)}, [])
    assert list(itertools.islice(decode_stream(tokenizer, ids()), 2)) == ["h", "é"]
