"""Choosing one token: against hand-worked numbers, fractions, float64 and transformers."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import RepetitionPenaltyLogitsProcessor

from gptlib.errors import ConfigError
from gptlib.generation import apply_repetition_penalty as penalize
from gptlib.generation import generate, keep_top_k, keep_top_p, sample_next
from gptlib.model import GPT

THREE = torch.tensor([[2.0, 1.0, 0.0]])
FIVE = torch.tensor([[4.0, 3.0, 2.0, 1.0, 0.0]])  # probabilities .636 .234 .086 .032 .012
TWO_OF_FOUR = torch.tensor([[1.0, 0.0, -math.inf, -math.inf]])  # .731 .269 0 0


def stream(seed):
    return torch.Generator().manual_seed(seed)


def random_logits(*shape, seed=0, scale=1.0):
    return torch.randn(*shape, generator=stream(seed)) * scale


def shares(logits, draws=20_000, **chosen):
    """How often each token comes when one row is drawn from again and again."""
    ids = sample_next(logits.expand(draws, -1), generator=stream(0), **chosen)
    return torch.bincount(ids, minlength=logits.shape[-1]) / draws


def kept(logits):
    """For each row the tokens that a filter left possible."""
    return [row.isfinite().nonzero().flatten().tolist() for row in logits]


@pytest.mark.parametrize(
    ("logits", "chosen", "expected"),
    [
        (THREE, {"temperature": 0.5}, [0.867, 0.117, 0.016]),
        (THREE, {}, [0.665, 0.245, 0.090]),
        (THREE, {"temperature": 2.0}, [0.506, 0.307, 0.186]),
        (FIVE, {"top_k": 2}, [0.731, 0.269, 0, 0, 0]),
        (FIVE, {"top_k": 99}, [0.636, 0.234, 0.086, 0.032, 0.012]),
        (FIVE, {"top_p": 0.9}, [0.665, 0.245, 0.090, 0, 0]),  # the three, shared out anew
        (FIVE, {"top_p": 0.86}, [0.731, 0.269, 0, 0, 0]),  # .636 + .234 is .870
        (FIVE, {"top_p": 1e-9}, [1, 0, 0, 0, 0]),
        # temperature first: at 2 the five are .429 .260 .158 .096 .058, and four reach .9
        (FIVE, {"top_p": 0.9, "temperature": 2.0}, [0.455, 0.276, 0.167, 0.102, 0]),
        (FIVE, {"top_p": 0.9, "temperature": 0.5}, [0.881, 0.119, 0, 0, 0]),
        # top-k before top-p: of the two that it leaves, the first alone reaches .7
        (FIVE, {"top_p": 0.7, "top_k": 2}, [1, 0, 0, 0, 0]),
        (FIVE, {"top_p": 0.7}, [0.731, 0.269, 0, 0, 0]),
        (TWO_OF_FOUR, {}, [0.731, 0.269, 0, 0]),  # what is impossible never comes
        (TWO_OF_FOUR, {"top_k": 4}, [0.731, 0.269, 0, 0]),
        (TWO_OF_FOUR, {"top_p": 1.0}, [0.731, 0.269, 0, 0]),
        (TWO_OF_FOUR, {"temperature": 50.0}, [0.505, 0.495, 0, 0]),
    ],
)
def test_tokens_come_as_often_as_their_probabilities_say(logits, chosen, expected):
    found, expected = shares(logits, **chosen), torch.tensor(expected, dtype=torch.float)
    torch.testing.assert_close(found, expected, atol=0.012, rtol=0)
    assert torch.equal(found == 0, expected == 0)


def test_each_row_has_its_own_threshold():
    logits = torch.tensor([[9.0, 0, 0, 0, 0], [0, 1, 2, 3, 4], [1, 1, 1, 1, 1.5]])
    assert kept(keep_top_p(logits, 0.9)) == [[0], [2, 3, 4], [0, 1, 2, 3, 4]]
    distinct = torch.tensor([[9.0, 5, 1, 2, 3], [0, 1, 2, 3, 4], [1, 4, 3, 2, 0]])
    assert kept(keep_top_k(distinct, 2)) == [[0, 1], [3, 4], [1, 2]]


@settings(deadline=None)
@given(weights=st.lists(st.integers(1, 50), min_size=1, max_size=30), n=st.integers(1, 30))
def test_tokens_that_reach_p_exactly_are_enough(weights, n):
    """As in .5 + .3 = .8: fractions know where float32 would round to the wrong side."""
    weights, n = sorted(weights, reverse=True), min(n, len(weights))
    p = float(Fraction(sum(weights[:n]), sum(weights)))
    assert keep_top_p(torch.tensor([weights]).log(), p).isfinite().sum() == n
    assert kept(keep_top_p(torch.tensor([[0.5, 0.3, 0.1, 0.1]]).log(), 0.8)) == [[0, 1]]


P = st.one_of(st.floats(1e-6, 1), st.sampled_from([0.999, 0.999999, 1 - 1e-12]))


@settings(deadline=None)
@given(seed=st.integers(0, 999), V=st.integers(1, 2_000), scale=st.floats(0.1, 8), p=P)
def test_top_p_keeps_the_fewest_that_reach_p_in_float64(seed, V, scale, p):
    logits = random_logits(1, V, seed=seed, scale=scale)
    likeliest_first = logits[0].double().softmax(dim=0).sort(descending=True).values  # (V,)
    before = likeliest_first.cumsum(dim=0) - likeliest_first  # a token is kept while this is < p
    slack = 3e-6 * (1 - p) + 1e-12  # the digits of float32 and float64
    fewest, most = int((before < p - slack).sum()), int((before < p + slack).sum())
    found = keep_top_p(logits, p)[0].isfinite()
    assert max(1, fewest) <= int(found.sum()) <= most
    assert not (~found).any() or logits[0, found].min() >= logits[0, ~found].max()


@pytest.mark.parametrize("scale", [0.1, 3.0, 30.0])
def test_top_p_of_a_large_vocabulary_loses_no_digits(scale):
    logits = random_logits(1, 50_257, scale=scale)
    assert keep_top_p(logits, 1.0).isfinite().all()
    together = logits.double().softmax(dim=1)[keep_top_p(logits, 0.999).isfinite()].sum()
    assert together >= 0.999 - 1e-8


def test_greedy_takes_the_largest_whatever_else_is_set_and_logits_stay_as_they_were():
    logits, before = random_logits(50, 97), random_logits(50, 97)
    for extra in ({}, {"top_k": 5}, {"top_p": 0.3}, {"generator": stream(0)}):
        assert torch.equal(sample_next(logits, temperature=0, **extra), logits.argmax(-1))
    assert torch.equal(sample_next(logits, top_k=1, generator=stream(0)), logits.argmax(-1))
    for extra in ({"temperature": 0.5}, {"top_k": 2}, {"top_p": 0.4}):
        sample_next(logits, **extra)
    keep_top_k(logits, 2), keep_top_p(logits, 0.4)
    assert torch.equal(logits, before)


def test_generator_decides_and_the_global_stream_is_left_alone():
    logits, one = torch.zeros(200, 97), stream(5)
    before = torch.get_rng_state()
    first = sample_next(logits, generator=one)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert torch.equal(first, sample_next(logits, generator=stream(5)))
    assert not torch.equal(first, sample_next(logits, generator=stream(6)))
    assert not torch.equal(first, sample_next(logits, generator=one))  # the stream has moved on
    assert first.unique().numel() > 50  # and all rows do not share one draw


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("temperature", value) for value in (-1.0, 1e-40, math.nan, math.inf)),
        *(("top_k", 0), ("top_p", 0.0), ("top_p", 1.1)),
        *(("repetition_penalty", value) for value in (0.0, -1.0, math.inf, math.nan)),
    ],
)
def test_settings_out_of_range_are_named(model, name, value):
    with pytest.raises(ConfigError, match=f"{name} is {value}: "):
        generate(model, [1], 2, **{name: value})
    if name != "repetition_penalty":
        with pytest.raises(ConfigError, match=f"{name} is {value}: "):
            sample_next(FIVE, **{name: value})


# --- the penalty on repeated tokens ----------------------------------------------------------


@settings(deadline=None)
@given(st.integers(0, 999), st.integers(1, 4), st.integers(1, 12), st.floats(0.5, 3.0))
def test_the_penalty_is_that_of_transformers(seed, B, T, penalty):
    logits = random_logits(B, 31, seed=seed, scale=3)
    before, ids = logits.clone(), torch.randint(31, (B, T), generator=stream(seed))
    expected = RepetitionPenaltyLogitsProcessor(penalty)(ids, logits.clone())
    torch.testing.assert_close(penalize(logits, ids, penalty), expected)
    assert torch.equal(logits, before)


def test_a_high_penalty_never_repeats_a_token_and_counts_the_prompt(model):
    class AlwaysTheSame(GPT):
        """Scores above 0, the same after every text; dividing by 1e6 sends one to the end."""

        def logits(self, hidden_states):
            return torch.arange(61.0).roll(4).flip(0).expand(*hidden_states.shape[:-1], 61) + 1

    for penalty, longest in ((1e6, 23), (1.0, 4)):
        chosen = {"temperature": 0, "repetition_penalty": penalty}
        (found,) = generate(AlwaysTheSame(model.config), [3, 1, 4], 20, **chosen)
        assert len(found) == 23 and len(set(found)) == longest
