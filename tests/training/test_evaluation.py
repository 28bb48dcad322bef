"""Validation and bits per byte: held against numbers worked out another way."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import TensorDataset

from gptlib.config import GPTConfig
from gptlib.data.dataset import TokenDataset
from gptlib.errors import TextTooShort
from gptlib.model import GPT
from gptlib.tokenizer import END_OF_TEXT, BPETokenizer, CharacterTokenizer
from gptlib.training import TextLoss, bits_per_byte, evaluate, evaluate_text
from gptlib.training.evaluation import subsample

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = GPTConfig(vocab_size=11, context_length=8, n_layers=2, n_heads=2, width=6, dropout=0.5)


@pytest.fixture
def windows():
    generator = torch.Generator().manual_seed(0)
    return TokenDataset(torch.randint(0, 11, (41,), generator=generator), 8)  # five


class Fixed(torch.nn.Module):
    """A model whose loss is the mean of its inputs."""

    device = torch.device("cpu")

    def forward(self, x, y):
        return x.double().mean()


def test_evaluation_is_a_mean_over_tokens_not_over_batches():
    # one batch of two windows with loss 2, one of one window with loss 5: 3, not 3.5
    x = torch.tensor([[2, 2], [2, 2], [5, 5]])
    assert evaluate(Fixed(), TensorDataset(x, torch.zeros_like(x)), batch_size=2) == pytest.approx(
        3.0
    )


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 99])
def test_the_batch_size_does_not_change_the_result(windows, batch_size):
    model = GPT(TINY, seed=3)
    whole = evaluate(model, windows, batch_size=5)
    assert evaluate(model, windows, batch_size=batch_size) == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_leaves_no_trace(windows, training):
    model = GPT(TINY, seed=3).train(training)
    before, stream = [p.clone() for p in model.parameters()], torch.get_rng_state()
    first = evaluate(model, windows)
    assert evaluate(model, windows) == first  # no dropout
    assert model.training is training
    assert torch.equal(torch.get_rng_state(), stream)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.grad is None for p in model.parameters())


def test_no_gradient_is_prepared(windows):
    model, outputs = GPT(TINY), []
    model.ln_final.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    evaluate(model, windows)
    assert outputs and not any(output.requires_grad for output in outputs)


def test_the_mode_comes_back_after_an_error(windows):
    model = GPT(TINY).train()
    with pytest.raises(ValueError, match="targets"):
        x, y = windows[:]
        evaluate(model, TensorDataset(x, y[:, :3]))
    assert model.training


def test_a_subsample_is_taken_at_even_distances():
    data = TokenDataset(range(101), 10)
    assert [x[0].item() // 10 for x, _ in subsample(data, 4)] == [0, 2, 5, 7]
    assert all(subsample(data, count) is data for count in (0, 10, 99))


# Bits per byte

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


def test_the_two_models_of_the_course():
    """3.0 nats at 4.0 bytes a token against 2.0 at 1.9: the higher loss is the better model."""
    assert bits_per_byte(3.0, 4) == pytest.approx(1.08202, abs=1e-5)
    assert bits_per_byte(2.0 * 10, 19) == pytest.approx(1.51863, abs=1e-5)


@given(st.integers(1, 10**6))
def test_all_bytes_equally_likely_are_eight_bits_each(n_bytes):
    assert bits_per_byte(n_bytes * math.log(256), n_bytes) == pytest.approx(8)


@pytest.mark.parametrize("n_bytes", [0, -1])
def test_a_text_without_a_byte_is_refused(n_bytes):
    with pytest.raises(TextTooShort, match=f"{n_bytes} bytes"):
        bits_per_byte(1.0, n_bytes)


def test_a_model_that_knows_nothing_pays_ln_v_for_every_token():
    """Two vocabularies of one text: the bits follow from the tokens, the bytes are the same."""
    found = []
    for tokenizer in (TOKENIZER, BPETokenizer.train("", 257, ["<|endoftext|>"])):
        model = model_for(tokenizer)
        model.token_embedding.weight.data.zero_()
        cost = evaluate_text(model, tokenizer, TEXTS)
        tokens = sum(len(tokenizer.encode(text)) + 1 for text in TEXTS)  # and each text's end
        assert cost.n_tokens == tokens
        assert cost.n_bytes == sum(len(text.encode()) for text in TEXTS)
        assert cost.nats == pytest.approx(tokens * math.log(tokenizer.vocab_size), rel=1e-6)
        assert cost.nats_per_token == pytest.approx(math.log(tokenizer.vocab_size), rel=1e-6)
        assert cost.bits_per_byte == bits_per_byte(cost.nats, cost.n_bytes)
        found.append(cost)
    assert found[0].n_bytes == found[1].n_bytes and found[0].n_tokens < found[1].n_tokens


@pytest.mark.parametrize("context_length", [1, 2, 5, 64])
def test_the_sum_is_that_of_every_token_given_all_before_it_in_its_part(context_length):
    model = model_for(TOKENIZER, context_length).eval()
    ids = [END, *TOKENIZER.encode(TEXTS[1]), END]
    assert context_length == 64 or len(ids) > 2 * context_length
    expected = 0.0
    for place in range(1, len(ids)):
        start = (place - 1) // context_length * context_length  # each part from nothing
        with torch.no_grad():
            logits = model(torch.tensor([ids[start:place]]))[0, -1].double()
        expected -= torch.log_softmax(logits, 0)[ids[place]].item()
    cost = evaluate_text(model, TOKENIZER, [TEXTS[1]])
    assert cost.nats == pytest.approx(expected, rel=1e-5) and cost.n_tokens == len(ids) - 1


@given(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=4))
def test_documents_do_not_read_each_other(texts):
    model = model_for(TOKENIZER)
    alone = [evaluate_text(model, TOKENIZER, [text]) for text in texts]
    together = evaluate_text(model, TOKENIZER, texts)
    assert together.nats == pytest.approx(sum(cost.nats for cost in alone))
    assert together.n_tokens == sum(cost.n_tokens for cost in alone)


def test_looking_changes_nothing():
    model, before = model_for(TOKENIZER).train(), torch.get_rng_state()
    first = evaluate_text(model, TOKENIZER, TEXTS)
    assert first == evaluate_text(model, TOKENIZER, TEXTS)  # dropout is off
    assert model.training and torch.equal(before, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_without_an_end_of_text_the_first_token_only_begins():
    letters = CharacterTokenizer.train("abcé")
    model = model_for(letters)
    model.token_embedding.weight.data.zero_()
    cost = evaluate_text(model, letters, ["éab", "b", "", "ca"])  # two predict nothing
    assert (cost.n_tokens, cost.n_bytes) == (3, 3)  # a and b, a
    assert cost.perplexity == pytest.approx(letters.vocab_size, rel=1e-6)


def test_the_limits_of_a_loss():
    with pytest.raises(TextTooShort):
        _ = evaluate_text(model_for(TOKENIZER), TOKENIZER, []).bits_per_byte
    assert TextLoss(7e5, 1, 1).perplexity == math.inf
