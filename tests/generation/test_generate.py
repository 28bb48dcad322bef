"""Texts, token by token, and their scores: against transformers' generate, and passes by hand."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from transformers_twin import random_ids, twins

from gptlib.config import GPTConfig
from gptlib.errors import ConfigError, PromptError, TokenOutOfRange
from gptlib.generation import (
    context_window,
    eval_mode,
    generate,
    generate_ids,
    generate_text,
    stream_text,
    token_log_probs,
)


class Speller(torch.nn.Module):
    """In a GPT's place: certain of a fixed list of ids, one after the other."""

    device = torch.device("cpu")

    def __init__(self, vocab_size, ids):
        super().__init__()
        self.config, self.ids = GPTConfig(vocab_size, 64, n_layers=1, n_heads=1, width=4), ids

    def hidden_states(self, ids):
        assert not torch.is_grad_enabled()  # no graph is kept while generating
        return torch.full((*ids.shape, 1), ids.shape[1] - 1)  # (B, T, 1): which one is due

    def logits(self, due):
        logits = torch.full((len(due), self.config.vocab_size), float("-inf"))
        logits[:, self.ids[int(due[0, 0])]] = 0
        return logits  # (B, V)


@pytest.mark.parametrize("seed", range(3))
def test_greedy_continuation_equals_transformers(seed):
    config = GPTConfig(61, context_length=40, n_layers=2, n_heads=2, width=24)
    ours, theirs = twins(config, std=0.3, dtype=torch.float64)
    prompt = random_ids(config, 1, 5, seed)
    asked = {"max_new_tokens": 35, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    expected = theirs.generate(prompt, attention_mask=torch.ones_like(prompt), **asked)
    found = generate(ours, prompt[0].tolist(), 35, temperature=0)
    assert found == expected.tolist()
    assert len(set(found[0][5:])) > 3  # not one token again and again


def test_the_context_window_moves_by_half_a_context():
    ids = torch.arange(40)[None]
    first = [int(context_window(ids[:, :T], 8)[0, 0]) for T in range(1, 22)]
    assert first == [0] * 8 + [4] * 4 + [8] * 4 + [12] * 4 + [16]
    for context_length in (1, 2, 5, 8):
        for T in range(1, 40):
            seen = context_window(ids[:, :T], context_length)[0].tolist()
            assert 0 < len(seen) <= context_length and seen[-1] == T - 1
            assert all(b - a == 1 for a, b in pairwise(seen))


@pytest.mark.parametrize("length", [1, 11, 12, 13, 50])
def test_any_prompt_length_works_and_nothing_outside_the_window_matters(model, length):
    prompt = random_ids(model.config, 1, length, seed=2)[0].tolist()
    ids = list(prompt)
    for _ in range(20):  # by hand: the whole window again for each token
        with torch.no_grad():
            ids.append(int(model(context_window(torch.tensor([ids]), 12))[0, -1].argmax()))
    assert generate(model, prompt, 20, temperature=0) == [ids]


def test_a_seed_gives_the_same_text_and_sequences_differ(make_model):
    model, before = make_model(std=0.1), torch.get_rng_state()
    one = generate(model, [3, 1], 12, n_sequences=3, seed=4)
    assert torch.equal(torch.get_rng_state(), before)  # the global stream is left alone
    torch.rand(2)
    assert one == generate(model, [3, 1], 12, n_sequences=3, seed=4)
    assert one != generate(model, [3, 1], 12, n_sequences=3, seed=5)
    assert len({tuple(sequence) for sequence in one}) == 3
    assert all(sequence[:2] == [3, 1] and len(sequence) == 14 for sequence in one)


def test_each_sequence_ends_at_its_own_end_of_text(make_model):
    model, end = make_model(std=0.1, vocab_size=7, context_length=32), 6
    settings = {"n_sequences": 8, "seed": 3}
    whole = generate(model, [1, 2], 25, **settings)
    cut = generate(model, [1, 2], 25, end_of_text=end, **settings)
    assert cut == [ids[: ids.index(end) + 1] if end in ids else ids for ids in whole]
    assert len({len(ids) for ids in cut}) > 2  # they end at different lengths
    steps = list(generate_ids(model, [1, 2], 25, end_of_text=end, **settings))
    assert len(steps) == max(map(len, cut)) - 2  # and no step is taken for nobody
    (text,) = generate(model, [end, 2, end], 5, end_of_text=end)
    assert len(text) > 3  # the prompt's do not count


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_off_while_generating_and_the_mode_is_put_back(make_model, training):
    model = make_model(dropout=0.5).train(training)
    assert generate(model, [1, 2], 8, temperature=0) == generate(model, [1, 2], 8, temperature=0)
    assert model.training is training and model.blocks[1].mlp.training is training
    steps = generate_ids(model, [1, 2], 8)
    next(steps)
    steps.close()  # a reader who stops early
    assert model.training is training
    with pytest.raises(ZeroDivisionError), eval_mode(model):
        assert not model.training and 1 / 0
    assert model.training is training


def test_prompts_that_cannot_be_continued_are_named(model):
    with pytest.raises(PromptError, match="the prompt is empty"):
        generate(model, [], 3)
    with pytest.raises(TokenOutOfRange, match="token id 61 is outside the vocabulary of 61"):
        generate(model, [4, 61], 3)
    with pytest.raises(TokenOutOfRange):  # before the model is asked: it may be on a GPU
        generate(Speller(61, []), [4, 61], 3)
    for extra in ({"max_new_tokens": 0}, {"max_new_tokens": 3, "n_sequences": 0}):
        with pytest.raises(ConfigError, match="use 1 or more"):
            generate(model, [4], **extra)


# --- text in, text out ---------------------------------------------------------------------

PROMPTS = st.text(alphabet="abc وحدنهار🙂🌍é—\n", min_size=1, max_size=30)


@settings(max_examples=40, deadline=None)
@given(prompt=PROMPTS, seed=st.integers(0, 10_000), n=st.integers(1, 24))
def test_streamed_pieces_join_to_the_generated_text(make_model, tokenizer, prompt, seed, n):
    talker = make_model(std=0.3, vocab_size=tokenizer.vocab_size, context_length=24)
    (whole,) = generate_text(talker, tokenizer, prompt, n, seed=seed)
    pieces = list(stream_text(talker, tokenizer, prompt, n, seed=seed))
    assert prompt + "".join(pieces) == whole
    assert all(pieces)  # a piece is shown only once there is something to show


def test_text_ends_before_the_end_of_text_token(tokenizer):
    model = Speller(tokenizer.vocab_size, [*b"ok", tokenizer.end_of_text, *b"more"])
    assert generate_text(model, tokenizer, "x", 9) == ["xok"]
    assert list(stream_text(model, tokenizer, "x", 9)) == ["o", "k"]


# --- how likely a text is --------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 999), B=st.integers(1, 3), T=st.integers(2, 40), first=st.integers(1, 39)
)
def test_each_token_is_scored_after_what_generation_would_see(model, seed, B, T, first):
    first, ids = min(first, T - 1), random_ids(model.config, B, T, seed)
    expected = []
    for t in range(first, T):
        with torch.no_grad():
            logits = model(context_window(ids[:, :t], 12))[:, -1]  # (B, V)
        expected.append(logits.log_softmax(dim=-1).gather(1, ids[:, t : t + 1]))
    found = token_log_probs(model, ids, first)
    torch.testing.assert_close(found, torch.cat(expected, dim=1), rtol=1e-8, atol=1e-10)


def test_each_window_is_read_once(model):
    lengths = []
    hook = model.ln_final.register_forward_hook(lambda _m, _i, y: lengths.append(y.shape[1]))
    token_log_probs(model, random_ids(model.config, 1, 31))
    hook.remove()
    # contexts of 12: tokens 1 to 12 after [0, 12), then 6 more a window, each after its first 6
    assert lengths == [12, 12, 12, 12]


def test_scores_are_without_dropout_and_in_float32_and_the_mode_is_put_back(make_model):
    plain, training = make_model(dtype=torch.bfloat16), make_model(dtype=torch.bfloat16).train()
    ids = random_ids(plain.config, 2, 13)
    with torch.no_grad():
        logits = plain(ids[:, :12]).float()
    expected = -F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    for model in (plain, training):
        found = token_log_probs(model, ids)
        assert found.dtype == torch.float32 and model.training is (model is training)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("ids", "first", "error", "message"),
    [
        ([1], 1, PromptError, "1 tokens, scored from 1: give a text of at least two"),
        ([1, 2, 3], 3, PromptError, "3 tokens, scored from 3"),
        ([1, 61, 3], 1, TokenOutOfRange, "token id 61"),
    ],
)
def test_texts_that_cannot_be_scored_are_named(model, ids, first, error, message):
    with pytest.raises(error, match=message):
        token_log_probs(model, torch.tensor([ids]), first)
