"""Tokenizers in a Hugging Face folder: the same ids as AutoTokenizer's, or a refusal by name."""

from collections.abc import Callable

import pytest
from hf_folders import ROLES, ROWS, assert_same_ids, exported, foreign, open_theirs
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_texts import ANY_TEXT, AWKWARD_TEXT, texts_in_all_scripts

from gptlib.pretrained.tokenizer_files import read_tokenizer
from gptlib.tokenizer import (
    END_OF_TEXT,
    BPETokenizer,
    CharacterTokenizer,
    Tokenizer,
    load_tokenizer,
)

SPECIAL = ["<|endoftext|>", "<|end|>", "<|endoftext|><|end|>", "<سؤال>"]
MARKET = "وحد نهار راني رايح للسوق نشري الخبز"
ARABIZI = "wesh rak khouya, sba7 lkhir 3lik; ghadwa nrou7 l'marché m3a s7abi"
# Arabic, Arabizi and special tokens side by side, with odd spaces between: as people write.
WORDS = sorted({word for row in ROWS for word in row.split()})
SIGNS = [*SPECIAL, *ROLES.values(), " ", "  ", "\n", "|>", "<|end", "<s", "</"]
MIXED_TEXT = st.lists(st.one_of(st.sampled_from(WORDS), st.sampled_from(SIGNS)), max_size=12).map(
    " ".join
) | st.lists(st.sampled_from([*SIGNS, *WORDS[:50]]), max_size=12).map("".join)


@pytest.fixture(scope="module", params=["gpt2", "darija", "special", "foreign"])
def pair(request, tmp_path_factory):
    """A tokenizer of ours and AutoTokenizer, which read, or was made of, the same files."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "foreign":
        foreign(folder)
        ours = read_tokenizer(folder)
        assert ours is not None
        return ours, open_theirs(folder)
    made: dict[str, Callable[[], Tokenizer]] = {
        "gpt2": lambda: load_tokenizer("gpt2"),
        "darija": lambda: BPETokenizer.train(ROWS, 1_000, [END_OF_TEXT], fast=True),
        "special": lambda: BPETokenizer.train(ROWS, 400, SPECIAL, fast=True),
    }
    return exported(folder, made[request.param]())


def test_five_hundred_texts_have_the_same_ids(pair):
    joined = [f"{ARABIZI}{token} {MARKET} {token}" for token in pair[0].special_tokens]
    texts = [*joined, *SIGNS, *texts_in_all_scripts(10), *ROWS[:400]]
    assert len(texts) > 500
    for text in texts:
        assert_same_ids(pair, text)


@settings(deadline=None, max_examples=100)
@given(st.one_of(MIXED_TEXT, ANY_TEXT, AWKWARD_TEXT))
def test_any_text_has_the_same_ids_and_comes_back(pair, text):
    assert_same_ids(pair, text)
    assert pair[1].decode(pair[1](text).input_ids) == text


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_any_ids_decode_alike(pair, data):
    ours, theirs = pair
    ids = data.draw(st.lists(st.integers(0, ours.vocab_size - 1), max_size=12))
    assert theirs.decode(ids) == ours.decode(ids)
    shown = [i for i in ids if i not in ours.special_tokens.values()]
    assert theirs.decode(ids, skip_special_tokens=True) == ours.decode(shown)


def test_special_tokens_padding_and_the_way_back(pair, tmp_path):
    ours, theirs = pair
    assert len(theirs) == theirs.vocab_size == ours.vocab_size  # no id beyond the model's table
    assert theirs.eos_token_id == ours.end_of_text
    for token, token_id in ours.special_tokens.items():
        assert theirs.convert_tokens_to_ids(token) == token_id
    theirs.save_pretrained(tmp_path)
    back = read_tokenizer(tmp_path)
    assert back.fingerprint == ours.fingerprint
    assert back.special_tokens == ours.special_tokens and type(back) is type(ours)
    if ours.roles:
        return
    assert theirs.bos_token_id == theirs.pad_token_id == ours.end_of_text
    batch = theirs(["wesh", MARKET], padding=True)
    short, hidden = batch.input_ids[0], batch.attention_mask[0]
    n_padding = hidden.count(0)
    assert n_padding > 0 and hidden == [0] * n_padding + [1] * (len(hidden) - n_padding)
    assert short[:n_padding] == [ours.end_of_text] * n_padding


def test_a_tokenizer_without_special_tokens_gets_none(tmp_path):
    ours, theirs = exported(tmp_path, BPETokenizer.train(MARKET, 280))
    assert len(theirs) == ours.vocab_size and theirs.all_special_tokens == []
    assert_same_ids((ours, theirs), f"{MARKET}<|endoftext|>{ARABIZI}")


def test_characters_have_the_same_ids_and_unknown_ones_are_refused(tmp_path):
    ours, theirs = exported(tmp_path, CharacterTokenizer.train([*ROWS, "\n \t'\""]))
    for text in (*ROWS, " \n\n ", ""):
        assert theirs(text).input_ids == ours.encode(text)
        assert theirs.decode(theirs(text).input_ids) == text
    with pytest.raises(Exception, match="UNK"):
        theirs("☃")
    back = read_tokenizer(tmp_path)
    assert back.fingerprint == ours.fingerprint
