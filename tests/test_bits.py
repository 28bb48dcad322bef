"""Bits per byte: the same text, whatever its tokens, is held against numbers worked out by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gptlib.config import GPTConfig
from gptlib.errors import ConfigError, TextTooShort
from gptlib.model import GPT
from gptlib.tokenizer import END_OF_TEXT, BPETokenizer, CharacterTokenizer
from gptlib.training.bits import bits_per_byte, surprise

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = ["وحد نهار", "راني رايح للسوق نشري الخبز", "wa7ed nhar, mchit l souk", "é"]
TOKENIZER = BPETokenizer.train(TEXTS * 2, 280, [END_OF_TEXT], fast=True)
END = TOKENIZER.end_of_text


def model_for(tokenizer, context_length=64, seed=3, dropout=0.5):
    """A model whose random parameters are large enough to have opinions."""
    config = GPTConfig(
        tokenizer.vocab_size, context_length, n_layers=1, n_heads=2, width=8, dropout=dropout
    )
    model = GPT(config, seed=seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(5)
    return model


def test_the_two_models_of_the_course() -> None:
    """3.0 nats at 4.0 bytes a token against 2.0 at 1.9: the higher loss is the better model."""
    assert bits_per_byte(3.0, 4) == pytest.approx(1.08202, abs=1e-5)
    assert bits_per_byte(2.0 * 10, 19) == pytest.approx(1.51863, abs=1e-5)


@given(st.integers(1, 10**6))
def test_all_bytes_equally_likely_are_eight_bits_each(n_bytes: int) -> None:
    assert bits_per_byte(n_bytes * math.log(256), n_bytes) == pytest.approx(8)


@pytest.mark.parametrize("n_bytes", [0, -1])
def test_a_text_without_a_byte_is_refused(n_bytes: int) -> None:
    with pytest.raises(TextTooShort, match=f"{n_bytes} bytes"):
        bits_per_byte(1.0, n_bytes)


def test_a_model_that_knows_nothing_pays_ln_v_for_every_token() -> None:
    """Two vocabularies of one text: the bits follow from the tokens, the bytes are the same."""
    found = []
    for tokenizer in (TOKENIZER, BPETokenizer.train("", 257, ["<|endoftext|>"])):
        model = model_for(tokenizer)
        model.token_embedding.weight.data.zero_()
        cost = surprise(model, tokenizer, TEXTS)
        tokens = sum(len(tokenizer.encode(text)) + 1 for text in TEXTS)  # and each text's end
        assert cost.n_tokens == tokens
        assert cost.n_bytes == sum(len(text.encode()) for text in TEXTS)
        assert cost.nats == pytest.approx(tokens * math.log(tokenizer.vocab_size), rel=1e-6)
        assert cost.nats_per_token == pytest.approx(math.log(tokenizer.vocab_size), rel=1e-6)
        assert cost.bits_per_byte == bits_per_byte(cost.nats, cost.n_bytes)
        found.append(cost)
    assert found[0].n_bytes == found[1].n_bytes and found[0].n_tokens < found[1].n_tokens


def test_the_sum_is_that_of_every_token_given_all_before_it() -> None:
    model = model_for(TOKENIZER).eval()
    expected = 0.0
    for text in TEXTS:
        ids = [END, *TOKENIZER.encode(text), END]
        for place in range(1, len(ids)):
            with torch.no_grad():
                logits = model(torch.tensor([ids[:place]]))[0, -1].double()
            expected -= torch.log_softmax(logits, 0)[ids[place]].item()
    assert surprise(model, TOKENIZER, TEXTS).nats == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("context_length", [1, 2, 5])
def test_a_document_longer_than_the_context_loses_no_token(context_length: int) -> None:
    model = model_for(TOKENIZER, context_length).eval()
    ids = [END, *TOKENIZER.encode(TEXTS[1]), END]
    assert len(ids) > 2 * context_length
    expected = 0.0
    for place in range(1, len(ids)):
        start = (place - 1) // context_length * context_length  # each part from nothing
        with torch.no_grad():
            logits = model(torch.tensor([ids[start:place]]))[0, -1].double()
        expected -= torch.log_softmax(logits, 0)[ids[place]].item()
    cost = surprise(model, TOKENIZER, [TEXTS[1]])
    assert cost.nats == pytest.approx(expected, rel=1e-5) and cost.n_tokens == len(ids) - 1


@given(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=4))
def test_documents_do_not_read_each_other(texts: list[str]) -> None:
    model = model_for(TOKENIZER)
    alone = [surprise(model, TOKENIZER, [text]) for text in texts]
    together = surprise(model, TOKENIZER, texts)
    assert together.nats == pytest.approx(sum(cost.nats for cost in alone))
    assert together.n_tokens == sum(cost.n_tokens for cost in alone)


def test_looking_changes_nothing() -> None:
    model, before = model_for(TOKENIZER).train(), torch.get_rng_state()
    first = surprise(model, TOKENIZER, TEXTS)
    assert first == surprise(model, TOKENIZER, TEXTS)  # dropout is off
    assert model.training and torch.equal(before, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_tokenizer_without_an_end_is_named() -> None:
    letters = CharacterTokenizer.train("abc")
    with pytest.raises(ConfigError, match="no end-of-text"):
        surprise(model_for(letters), letters, ["abc"])


def test_no_document_has_no_bits_per_byte() -> None:
    nothing = surprise(model_for(TOKENIZER), TOKENIZER, [])
    with pytest.raises(TextTooShort):
        _ = nothing.bits_per_byte
