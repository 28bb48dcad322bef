"""How likely a text is, against passes by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from transformers_twin import random_ids

from gptlib.errors import PromptError, TokenOutOfRange
from gptlib.generation import context_window, generate, sample_next, token_log_probs
from gptlib.kv_cache import CachedGPT


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


def test_the_most_likely_text_is_the_greedy_one(model):
    (text,) = generate(CachedGPT(model), [5], 2, temperature=0)
    greedy = token_log_probs(model, torch.tensor([text]))[0, 0]
    scores = token_log_probs(model, torch.tensor([[5, token] for token in range(61)]))  # (61, 1)
    torch.testing.assert_close(scores.max(), greedy)
    assert abs(scores.exp().sum() - 1) < 1e-9


def test_scores_are_without_dropout_and_the_mode_is_put_back(model, make_model):
    training, ids = make_model().train(), random_ids(model.config, 2, 9)
    assert torch.equal(token_log_probs(training, ids), token_log_probs(model, ids))
    assert training.training


def test_half_precision_is_scored_in_float32(make_model):
    model = make_model(dtype=torch.bfloat16)
    ids = random_ids(model.config, 2, 13)
    with torch.no_grad():
        logits = model(ids[:, :12]).float()
    expected = -F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    found = token_log_probs(model, ids)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


def test_a_drawn_token_comes_as_often_as_its_score_says(model):
    ids = torch.tensor([[5, 9, 2]])
    with torch.no_grad():
        logits = model(ids)[:, -1]
    drawn = sample_next(logits.expand(20_000, -1), generator=torch.Generator().manual_seed(0))
    found = torch.bincount(drawn, minlength=61) / 20_000
    texts = torch.cat([ids.expand(61, -1), torch.arange(61)[:, None]], dim=1)
    scores = token_log_probs(model, texts, first=3)[:, 0].exp().float()
    torch.testing.assert_close(found, scores, atol=0.012, rtol=0)


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
