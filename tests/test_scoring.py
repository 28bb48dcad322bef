"""The penalty on repeats against transformers', and how likely a text is against passes by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from transformers import RepetitionPenaltyLogitsProcessor
from transformers_twin import random_ids

from gptlib.config import GPTConfig
from gptlib.errors import ConfigError, PromptError, TokenOutOfRange
from gptlib.generation import (
    CachedGPT,
    generate,
    log_probabilities,
    penalise_repeats,
    sample_next,
    visible,
)
from gptlib.model import GPT

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = GPTConfig(vocab_size=31, context_length=8, n_layers=2, n_heads=2, width=16, dropout=0.1)


def small_model(dtype: torch.dtype = torch.float64) -> GPT:
    model, generator = GPT(SMALL, seed=0).to(dtype), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.4, generator=generator)
    return model.eval()


MODEL = small_model()


# --- the penalty -----------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 999),
    B=st.integers(1, 4),
    T=st.integers(1, 12),
    penalty=st.floats(0.5, 3.0),
)
def test_the_penalty_is_that_of_transformers(seed: int, B: int, T: int, penalty: float) -> None:
    logits = torch.randn(B, 31, generator=torch.Generator().manual_seed(seed)) * 3
    before, ids = logits.clone(), random_ids(SMALL, B, T, seed)
    found = penalise_repeats(logits, ids, penalty)
    assert torch.equal(logits, before)
    expected = RepetitionPenaltyLogitsProcessor(penalty)(ids, logits.clone())
    torch.testing.assert_close(found, expected)


def test_the_penalty_by_hand() -> None:
    logits = torch.tensor([[2.0, -2.0, 2.0, -2.0]])
    found = penalise_repeats(logits, torch.tensor([[0, 1, 0]]), 2.0)
    assert found.tolist() == [[1.0, -4.0, 2.0, -2.0]]  # token 0 stands there twice, counts once
    assert penalise_repeats(logits, torch.tensor([[0]]), 1.0).tolist() == logits.tolist()


def test_a_high_penalty_never_repeats_a_token_and_counts_the_prompt() -> None:
    prompt = [3, 1, 4]
    with torch.no_grad():  # scores far from 0, so that dividing by 1e6 sends each to the end
        (text,) = generate(Positive(), prompt, 20, temperature=0, repetition_penalty=1e6)
    assert len(set(text)) == len(text) == 23
    (plain,) = generate(Positive(), prompt, 20, temperature=0)
    assert len(set(plain)) < 5


class Positive(GPT):
    """The same scores after every text, all above 0; token 3 leads."""

    def __init__(self) -> None:
        super().__init__(SMALL)

    def features(self, ids: torch.Tensor) -> torch.Tensor:
        return torch.zeros(*ids.shape, SMALL.width)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        scores = torch.arange(31.0).roll(4).flip(0) + 1
        return scores.expand(*features.shape[:-1], 31)


@pytest.mark.parametrize("penalty", [0.0, -1.0, math.inf, math.nan])
def test_a_penalty_out_of_range_is_named(penalty: float) -> None:
    with pytest.raises(ConfigError, match=f"repetition_penalty is {penalty}: use 1"):
        generate(MODEL, [1], 2, repetition_penalty=penalty)


# --- how likely a text is --------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 999), B=st.integers(1, 3), T=st.integers(2, 30), first=st.integers(1, 29)
)
def test_each_token_is_scored_after_what_generation_would_see(
    seed: int, B: int, T: int, first: int
) -> None:
    first, ids = min(first, T - 1), random_ids(SMALL, B, T, seed)
    expected = []
    for t in range(first, T):
        with torch.no_grad():
            logits = MODEL(visible(ids[:, :t], SMALL.context_length))[:, -1]  # (B, V)
        expected.append(logits.log_softmax(dim=-1).gather(1, ids[:, t : t + 1]))
    found = log_probabilities(MODEL, ids, first)
    torch.testing.assert_close(found, torch.cat(expected, dim=1), rtol=1e-8, atol=1e-10)


def test_each_window_is_read_once() -> None:
    lengths: list[int] = []
    hook = MODEL.ln_final.register_forward_hook(lambda _m, _i, y: lengths.append(y.shape[1]))
    log_probabilities(MODEL, random_ids(SMALL, 1, 21))
    hook.remove()
    # contexts of 8: tokens 1 to 8 after [0, 8), then 4 more a window, each after its first 4
    assert lengths == [8, 8, 8, 8]


def test_the_most_likely_text_is_the_greedy_one() -> None:
    (text,) = generate(CachedGPT(MODEL), [5], 2, temperature=0)
    greedy = log_probabilities(MODEL, torch.tensor([text]))[0, 0]
    others = torch.tensor([[5, token] for token in range(31)])
    scores = log_probabilities(MODEL, others)  # (31, 1)
    torch.testing.assert_close(scores.max(), greedy)
    assert abs(scores.exp().sum() - 1) < 1e-9


def test_scores_are_without_dropout_and_the_mode_is_put_back() -> None:
    model, ids = small_model().train(), random_ids(SMALL, 2, 9)
    assert torch.equal(log_probabilities(model, ids), log_probabilities(MODEL, ids))
    assert model.training


def test_half_precision_is_scored_in_float32() -> None:
    ids = random_ids(SMALL, 2, 9)
    model = small_model(torch.bfloat16)
    with torch.no_grad():
        logits = model(ids[:, :8]).float()
    expected = -F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    found = log_probabilities(model, ids)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[:, :8], expected)


def test_a_drawn_token_comes_as_often_as_its_score_says() -> None:
    ids = torch.tensor([[5, 9, 2]])
    with torch.no_grad():
        logits = MODEL(ids)[:, -1]
    drawn = sample_next(logits.expand(20_000, -1), generator=torch.Generator().manual_seed(0))
    found = torch.bincount(drawn, minlength=31) / 20_000
    texts = torch.cat([ids.expand(31, -1), torch.arange(31)[:, None]], dim=1)
    scores = log_probabilities(MODEL, texts, first=3)[:, 0].exp().float()
    torch.testing.assert_close(found, scores, atol=0.012, rtol=0)


def test_texts_that_cannot_be_scored_are_named() -> None:
    with pytest.raises(PromptError, match="1 tokens, scored from 1: give a text of at least two"):
        log_probabilities(MODEL, torch.tensor([[1]]))
    with pytest.raises(PromptError, match="3 tokens, scored from 3"):
        log_probabilities(MODEL, torch.tensor([[1, 2, 3]]), first=3)
    with pytest.raises(TokenOutOfRange, match="token id 31"):
        log_probabilities(MODEL, torch.tensor([[1, 31, 3]]))
