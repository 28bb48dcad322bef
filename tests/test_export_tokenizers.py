"""Tokenizers in an exported folder: AutoTokenizer gives our ids, and ours reads theirs back."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_texts import ANY_TEXT, AWKWARD_TEXT, darija, texts_in_all_scripts
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from gptlib.errors import PretrainedError
from gptlib.pretrained.tokenizer_files import read_tokenizer, write_tokenizer
from gptlib.tokenizer import (
    END_OF_TEXT,
    BPETokenizer,
    CharacterTokenizer,
    Tokenizer,
    load_tokenizer,
)

ROWS = darija()
SPECIAL = ["<|endoftext|>", "<|end|>", "<|endoftext|><|end|>", "<سؤال>"]
MARKET = "وحد نهار راني رايح للسوق نشري الخبز"
ARABIZI = "wesh rak khouya, sba7 lkhir 3lik; ghadwa nrou7 l'marché m3a s7abi"
# Arabic, Arabizi and special tokens side by side, with odd spaces between: as people write.
WORDS = sorted({word for row in ROWS for word in row.split()})
MIXED_TEXT = st.lists(
    st.one_of(st.sampled_from(WORDS), st.sampled_from([*SPECIAL, " ", "  ", "\n", "|>", "<|end"])),
    max_size=12,
).flatmap(lambda words: st.sampled_from(["", " "]).map(lambda between: between.join(words)))


@pytest.fixture(scope="module", params=["gpt2", "darija", "special"])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Tokenizer, PreTrainedTokenizerBase]:
    """A tokenizer of ours, and AutoTokenizer on the files that were made of it."""
    ours: Tokenizer = load_tokenizer("gpt2")
    if request.param == "darija":
        ours = BPETokenizer.train(ROWS, 1_000, [END_OF_TEXT], fast=True)
    elif request.param == "special":
        ours = BPETokenizer.train(ROWS, 400, SPECIAL, fast=True)
    return ours, opened(tmp_path_factory.mktemp(request.param), ours)


def opened(folder: Path, tokenizer: Tokenizer) -> PreTrainedTokenizerBase:
    write_tokenizer(folder, tokenizer, context_length=1 << 20)
    # what AutoTokenizer asks beside the tokenizer's own files: which model this is
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def assert_same_ids(pair: tuple[Tokenizer, PreTrainedTokenizerBase], text: str) -> None:
    ours, theirs = pair
    assert theirs(text).input_ids == ours.encode(text, allow_special=True)
    assert theirs(text, split_special_tokens=True).input_ids == ours.encode(text)


def test_arabic_arabizi_and_special_tokens(
    pair: tuple[Tokenizer, PreTrainedTokenizerBase],
) -> None:
    for text in (MARKET, ARABIZI, f"{MARKET}<|endoftext|>{ARABIZI}", *ROWS, *SPECIAL):
        assert_same_ids(pair, text)
    for text in texts_in_all_scripts(4):
        assert_same_ids(pair, text)


@settings(deadline=None, max_examples=120)
@given(st.one_of(MIXED_TEXT, ANY_TEXT, AWKWARD_TEXT))
def test_any_text_has_the_same_ids_and_comes_back(
    pair: tuple[Tokenizer, PreTrainedTokenizerBase], text: str
) -> None:
    assert_same_ids(pair, text)
    assert pair[1].decode(pair[1](text).input_ids) == text


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_ids_decode_alike(
    pair: tuple[Tokenizer, PreTrainedTokenizerBase], data: st.DataObject
) -> None:
    ours, theirs = pair
    ids = data.draw(st.lists(st.integers(0, ours.vocab_size - 1), max_size=12))
    assert theirs.decode(ids) == ours.decode(ids)
    shown = [i for i in ids if i not in ours.special_tokens.values()]
    assert theirs.decode(ids, skip_special_tokens=True) == ours.decode(shown)


def test_special_tokens_and_padding(pair: tuple[Tokenizer, PreTrainedTokenizerBase]) -> None:
    ours, theirs = pair
    assert len(theirs) == theirs.vocab_size == ours.vocab_size  # no id beyond the model's table
    assert theirs.eos_token_id == theirs.bos_token_id == theirs.pad_token_id == ours.end_of_text
    for token, token_id in ours.special_tokens.items():
        assert theirs.convert_tokens_to_ids(token) == token_id
    batch = theirs(["wesh", MARKET], padding=True)
    short, hidden = batch.input_ids[0], batch.attention_mask[0]
    n_padding = hidden.count(0)
    assert n_padding > 0 and hidden == [0] * n_padding + [1] * (len(hidden) - n_padding)
    assert short[:n_padding] == [ours.end_of_text] * n_padding
    assert theirs(MARKET).input_ids == ours.encode(MARKET)  # nothing is put around a text


def test_the_same_tokenizer_comes_back(
    pair: tuple[Tokenizer, PreTrainedTokenizerBase], tmp_path: Path
) -> None:
    ours, theirs = pair
    theirs.save_pretrained(tmp_path)
    back = read_tokenizer(tmp_path)
    assert back is not None and back.fingerprint == ours.fingerprint
    assert back.special_tokens == ours.special_tokens and type(back) is type(ours)


def test_a_tokenizer_without_special_tokens_gets_none(tmp_path: Path) -> None:
    ours = BPETokenizer.train(MARKET, 280)
    theirs = opened(tmp_path, ours)
    assert len(theirs) == ours.vocab_size and theirs.all_special_tokens == []
    assert_same_ids((ours, theirs), f"{MARKET}<|endoftext|>{ARABIZI}")


def test_characters_have_the_same_ids_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    ours = CharacterTokenizer.train([*ROWS, "\n \t'\""])
    theirs = opened(tmp_path, ours)
    for text in (*ROWS, " \n\n ", ""):
        assert theirs(text).input_ids == ours.encode(text)
        assert theirs.decode(theirs(text).input_ids) == text
    with pytest.raises(Exception, match="UNK"):
        theirs("☃")
    back = read_tokenizer(tmp_path)
    assert back is not None and back.fingerprint == ours.fingerprint


# --- tokenizers that are not ours ------------------------------------------------------------


def in_part(*keys: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    def change(parts: dict[str, Any]) -> None:
        for key in keys:
            parts = parts[key]
        parts.update(values)

    return change


FAULTS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another model": (in_part("model", type="Unigram"), "the model of tokenizer.json is not"),
    "dropout": (in_part("model", dropout=0.1), "the dropout of tokenizer.json is not GPT-2's"),
    "whole words first": (in_part("model", ignore_merges=True), "the ignore_merges of"),
    "lower case": (in_part(normalizer={"type": "Lowercase"}), "the normalizer of tokenizer.json"),
    "a space before": (in_part("pre_tokenizer", add_prefix_space=True), "the add_prefix_space of"),
    "other pieces": (in_part("pre_tokenizer", use_regex=False), "the pre_tokenizer of"),
    "no pieces": (in_part(pre_tokenizer=None), "the pre_tokenizer of tokenizer.json"),
    "something around": (
        in_part(
            post_processor={
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<|endoftext|>"}}, {"Sequence": {"id": "A"}}],
            }
        ),
        "the post_processor of tokenizer.json is not GPT-2's",
    ),
    "an end of words": (in_part("model", end_of_word_suffix="</w>"), "the end_of_word_suffix of"),
    "a space eaten": (
        lambda parts: parts["added_tokens"][0].update(lstrip=True),
        "the added_tokens of tokenizer.json is not GPT-2's",
    ),
    "an ordinary token added": (
        lambda parts: parts["added_tokens"].append(
            {**parts["added_tokens"][0], "content": "e", "id": parts["model"]["vocab"]["e"]}
        ),
        "adds 'e', which is an ordinary token already",
    ),
    "a merge lost": (lambda parts: parts["model"]["merges"].pop(0), "before any merge made it"),
    "a gap": (
        lambda parts: parts["added_tokens"][0].update(id=9_999),
        "are not 0 to 299, each once",
    ),
    "no vocabulary": (lambda parts: parts["model"].pop("vocab"), "cannot be read as a tokenizer"),
    "a list": (lambda parts: parts["model"].update(vocab=[1, 2]), "cannot be read as a tokenizer"),
    "ids as text": (
        lambda parts: parts["model"]["vocab"].update(a="7"),
        "cannot be read as a tokenizer",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_ours_would_encode_otherwise_is_refused_by_name(fault: str, tmp_path: Path) -> None:
    write_tokenizer(
        tmp_path, BPETokenizer.train(ROWS, 300, [END_OF_TEXT], fast=True), context_length=8
    )
    path = tmp_path / "tokenizer.json"
    parts = json.loads(path.read_text())
    plant, message = FAULTS[fault]
    plant(parts)
    path.write_text(json.dumps(parts))
    with pytest.raises(PretrainedError, match=message) as refusal:
        read_tokenizer(tmp_path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("tokenizer_config.json", {"add_prefix_space": True}, "add_prefix_space is true"),
        ("tokenizer_config.json", {"add_bos_token": True}, "add_bos_token is true"),
        ("added_tokens.json", {"<mask>": 300}, "adds '<mask>', which the vocabulary lacks"),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
def test_a_file_beside_the_vocabulary_that_changes_ids_is_refused(
    whole: bool, file: str, content: dict[str, Any], message: str, tmp_path: Path
) -> None:
    write_tokenizer(
        tmp_path, BPETokenizer.train(ROWS, 300, [END_OF_TEXT], fast=True), context_length=8
    )
    if not whole:
        (tmp_path / "tokenizer.json").unlink()
    (tmp_path / file).write_text(json.dumps(content))
    with pytest.raises(PretrainedError, match=message):
        read_tokenizer(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_no_json_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(PretrainedError, match="cannot be read as a tokenizer: bring it again"):
        read_tokenizer(tmp_path)


def test_the_older_spelling_of_merges_is_read_too(tmp_path: Path) -> None:
    """OpenAI's own tokenizer.json writes a merge as one text and does not name its model."""
    ours = BPETokenizer.train(ROWS, 300, [END_OF_TEXT], fast=True)
    write_tokenizer(tmp_path, ours, context_length=8)
    path = tmp_path / "tokenizer.json"
    parts = json.loads(path.read_text())
    del parts["model"]["type"]
    parts["model"]["merges"] = [" ".join(pair) for pair in parts["model"]["merges"]]
    path.write_text(json.dumps(parts))
    back = read_tokenizer(tmp_path)
    assert back is not None and back.fingerprint == ours.fingerprint
