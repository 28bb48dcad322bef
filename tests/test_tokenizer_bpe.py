"""The tokenizer made of merges: encoding, special tokens, files, and what it refuses."""

import json
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_texts import ANY_TEXT

from gptlib.errors import OutOfPairsWarning, TokenizerError, TokenOutOfRange
from gptlib.tokenizer import BPETokenizer, Tokenizer, bpe, load_tokenizer
from gptlib.tokenizer.encoding import LONG, encode_long_piece, encode_piece
from gptlib.tokenizer.spelling import spell, unspell

TOY = "the theme then the hem"
SPECIAL = ["<|end|>", "<|endoftext|>", "<|end|>!"]


@pytest.fixture(scope="module")
def toy() -> BPETokenizer:
    return BPETokenizer.train(TOY, 256 + 4 + len(SPECIAL), SPECIAL)


def plain_encoding(piece: bytes, merges: dict[tuple[int, int], int]) -> list[int]:
    """The definition: merge by merge, each everywhere from left to right."""
    ids = list(piece)
    for pair, new_id in merges.items():
        place = 0
        while place < len(ids) - 1:
            if (ids[place], ids[place + 1]) == pair:
                ids[place : place + 2] = [new_id]
            place += 1
    return ids


def test_the_toy_text_is_ten_tokens(toy: BPETokenizer) -> None:
    ids = toy.encode(TOY)
    assert [toy.decode_bytes([i]) for i in ids] == (
        [b"the", b" the", b"me", b" the", b"n", b" the", b" ", b"he", b"m"]
    )
    assert toy.decode(ids) == TOY
    assert toy.name == "bpe-263"


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(b"abc"), max_size=40).map(bytes), st.data())
def test_both_ways_of_encoding_replay_the_merges(piece: bytes, data: st.DataObject) -> None:
    merges: dict[tuple[int, int], int] = {}
    for _ in range(data.draw(st.integers(0, 12))):
        tokens = st.sampled_from([*b"abc", *merges.values()])
        merges.setdefault((data.draw(tokens), data.draw(tokens)), 256 + len(merges))
    expected = plain_encoding(piece, merges)
    assert encode_piece(piece, merges) == expected
    assert encode_long_piece(piece, merges) == expected


def test_long_pieces_take_the_path_for_long_pieces() -> None:
    merges = {(97, 97): 256, (256, 256): 257}
    assert encode_piece(b"a" * (LONG + 3), merges) == [257] * (LONG // 4) + [256, 97]


@settings(deadline=None, max_examples=200)
@given(ANY_TEXT)
def test_any_text_comes_back(text: str) -> None:
    tokenizer = BPETokenizer({bytes([byte]): byte for byte in range(256)}, [])
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_longest_special_token_wins(toy: BPETokenizer) -> None:
    ids = toy.encode("<|end|>!<|end|><|endoftext|>", allow_special=True)
    assert ids == [toy.special_tokens[token] for token in ("<|end|>!", "<|end|>", "<|endoftext|>")]
    assert toy.end_of_text == toy.special_tokens["<|endoftext|>"] == 261


def test_special_tokens_are_plain_text_unless_allowed(toy: BPETokenizer) -> None:
    ids = toy.encode("the<|end|>hem")
    assert max(ids) < 260
    assert toy.decode(ids) == "the<|end|>hem"
    allowed = toy.encode("the<|end|>hem", allow_special=True)
    assert allowed == [*toy.encode("the"), 260, *toy.encode("hem")]
    assert toy.decode(allowed) == "the<|end|>hem"


def test_no_special_token_means_no_end_of_text() -> None:
    tokenizer = BPETokenizer.train("abab", 257)
    assert tokenizer.end_of_text is None
    assert tokenizer.encode("<|endoftext|>", allow_special=True) == list(b"<|endoftext|>")


def test_a_lone_surrogate_is_named(toy: BPETokenizer) -> None:
    with pytest.raises(TokenizerError, match=r"U\+DC80 at position 3 .*ignore"):
        toy.encode("abc\udc80d")


@pytest.mark.parametrize("token_id", [-1, 263, 10**9])
def test_an_unknown_id_is_named(toy: BPETokenizer, token_id: int) -> None:
    with pytest.raises(TokenOutOfRange, match=rf"token id {token_id} .* 263 tokens"):
        toy.decode([0, token_id])


def test_half_a_character_is_shown_as_such(toy: BPETokenizer) -> None:
    ids = toy.encode("é")
    assert toy.decode(ids[:1]) == "�"
    assert toy.decode_bytes(ids[:1]) == b"\xc3"


def test_remembered_pieces_stay_bounded(toy: BPETokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpe, "REMEMBERED", 10)
    text = " ".join(f"word{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(300))
    assert toy.decode(toy.encode(text)) == text
    assert len(toy._known) <= 10


def test_a_saved_tokenizer_is_the_same_tokenizer(toy: BPETokenizer, tmp_path: Path) -> None:
    toy.save(tmp_path / "toy")
    loaded = load_tokenizer(tmp_path / "toy")
    assert isinstance(loaded, BPETokenizer)
    assert loaded.fingerprint == toy.fingerprint
    assert loaded.special_tokens == toy.special_tokens
    text = TOY + " وحد نهار 🙂 <|endoftext|>"
    assert loaded.encode(text, allow_special=True) == toy.encode(text, allow_special=True)


def test_the_files_are_in_the_spelling_of_gpt2(toy: BPETokenizer, tmp_path: Path) -> None:
    toy.save(tmp_path)
    merges = (tmp_path / "merges.txt").read_text(encoding="utf-8")
    assert merges == "#version: 0.2\nh e\nt he\nĠ the\nm e\n"
    vocabulary = json.loads((tmp_path / "vocab.json").read_text(encoding="utf-8"))
    assert (vocabulary["Ġthe"], vocabulary["Ċ"], vocabulary["<|end|>"]) == (258, 10, 260)


def test_hugging_face_reads_the_files(toy: BPETokenizer, tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    toy.save(tmp_path)
    files = str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt")
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE.from_file(*files))
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    text = TOY + " thé 🙂\n\n  theme's"
    assert toy.encode(text) == theirs.encode(text).ids


def test_every_byte_has_a_printable_character_of_its_own() -> None:
    spelled = [spell(bytes([byte])) for byte in range(256)]
    assert len(set(spelled)) == 256
    assert all(character.isprintable() and not character.isspace() for character in spelled)
    assert unspell("".join(spelled)) == bytes(range(256))


def test_ids_may_stand_in_any_order() -> None:
    turned = {bytes([byte]): 256 - byte for byte in range(256)} | {b"ab": 0}
    tokenizer = BPETokenizer(turned, [(b"a", b"b")])
    assert tokenizer.encode("abc") == [0, 256 - ord("c")]
    assert tokenizer.decode([0, 256 - ord("c")]) == "abc"


BYTES = {bytes([byte]): byte for byte in range(256)}


@pytest.mark.parametrize(
    ("vocabulary", "merges", "special", "said"),
    [
        (BYTES, [(b"a", b"b")], {}, "token b'ab' has no id"),
        (BYTES | {b"ab": 256}, [], {}, "no merge makes token b'ab'"),
        (BYTES | {b"ab": 257}, [(b"a", b"b")], {}, "ids of 257 tokens are not 0 to 256"),
        (BYTES | {b"abc": 256}, [(b"ab", b"c")], {}, "uses b'ab' before"),
        (BYTES | {b"ab": 256}, [(b"a", b"b")] * 2, {}, "b'ab' is made twice"),
        (BYTES, [], {"a": 256}, "special token 'a' is empty or an ordinary token"),
        (BYTES, [], {"": 256}, "special token '' is empty"),
        (BYTES, [], {"<s>": 0}, "each once"),
    ],
)
def test_a_vocabulary_that_does_not_fit_is_refused(
    vocabulary: dict, merges: list, special: dict, said: str
) -> None:
    with pytest.raises(TokenizerError, match=said):
        BPETokenizer(vocabulary, merges, special)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("merges.txt", None, "no readable vocabulary"),
        ("merges.txt", "#version: 0.2\nh e\nt h e\n", "line 3"),
        ("merges.txt", "\u4e00 e\n", "stands for no byte"),
        ("vocab.json", "{", "no readable vocabulary"),
        ("vocab.json", "[]", "no JSON object"),
        ("vocab.json", '{"a": "b"}', "no JSON object"),
        ("vocab.json", '{"a": 0}', "has no id"),
    ],
)
def test_damaged_files_are_named(
    toy: BPETokenizer, tmp_path: Path, file: str, content: str | None, said: str
) -> None:
    toy.save(tmp_path)
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_text(content, encoding="utf-8")
    with pytest.raises(TokenizerError, match=said) as caught:
        load_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="holds no tokenizer: give 'gpt2'"):
        load_tokenizer(tmp_path)


def test_equal_bytes_cut_otherwise_have_another_fingerprint() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutOfPairsWarning)
        first, second = BPETokenizer.train("ab", 300), BPETokenizer.train("cd", 300)
    assert first.fingerprint != second.fingerprint
    tokenizer: Tokenizer = first  # mypy: it keeps the promises
    assert len(tokenizer.fingerprint) == 64
