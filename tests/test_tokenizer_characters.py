"""One id per character."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from tokenizer_texts import ANY_TEXT

from gptlib.errors import TokenizerError, TokenOutOfRange
from gptlib.tokenizer import CharacterTokenizer, Tokenizer, load_tokenizer


def test_characters_are_numbered_in_the_order_of_unicode() -> None:
    tokenizer: Tokenizer = CharacterTokenizer.train("hello")
    assert tokenizer.encode("hello") == [1, 0, 2, 2, 3]
    assert (tokenizer.vocab_size, tokenizer.end_of_text, tokenizer.name) == (4, None, "characters")


@settings(deadline=None, max_examples=100)
@given(ANY_TEXT.filter(bool))
def test_a_text_that_was_trained_on_comes_back(text: str) -> None:
    tokenizer = CharacterTokenizer.train(text)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert len(ids) == len(text)
    assert list(tokenizer.encode_iterable(text)) == ids


def test_documents_are_trained_on_together() -> None:
    assert CharacterTokenizer.train(["cab", "bad"]).characters == "abcd"


def test_an_unknown_character_is_named() -> None:
    tokenizer = CharacterTokenizer.train("hello")
    with pytest.raises(TokenizerError, match=r"'é' \(U\+00E9\) at position 1 is not among the 4"):
        tokenizer.encode("hé")
    with pytest.raises(TokenizerError, match="at position 6 "):
        list(tokenizer.encode_iterable(["hello", "hé"]))


def test_a_lone_surrogate_is_named() -> None:
    for attempt in (CharacterTokenizer.train, CharacterTokenizer("a").encode):
        with pytest.raises(TokenizerError, match=r"lone surrogate U\+D800"):
            attempt("a\ud800")


@pytest.mark.parametrize("token_id", [-1, 4])
def test_an_unknown_id_is_named(token_id: int) -> None:
    with pytest.raises(TokenOutOfRange, match=rf"token id {token_id} .* 4 tokens"):
        CharacterTokenizer.train("hello").decode([0, token_id])


@pytest.mark.parametrize("characters", ["", "aa"])
def test_no_character_or_one_twice_is_refused(characters: str) -> None:
    with pytest.raises(TokenizerError, match="each once"):
        CharacterTokenizer(characters)


def test_a_saved_tokenizer_is_the_same_tokenizer(tmp_path: Path) -> None:
    tokenizer = CharacterTokenizer.train("وحد نهار 🙂\n\u2028\x00")
    tokenizer.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert isinstance(loaded, CharacterTokenizer)
    assert loaded.characters == tokenizer.characters
    assert loaded.fingerprint == tokenizer.fingerprint


@pytest.mark.parametrize("content", ["[]", "{", '"aa"', '"\\ud800"'])
def test_a_damaged_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "characters.json").write_text(content)
    with pytest.raises(TokenizerError):
        load_tokenizer(tmp_path)
