"""The key/value cache against the pass over the whole text that it replaces."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from transformers_twin import random_ids

from gptlib.attention import causal_weights
from gptlib.errors import PromptError, TokenOutOfRange
from gptlib.generation import context_window, generate, generate_ids
from gptlib.kv_cache import CachedGPT, attend_cached

CONTEXT = 12
TWO_REFILLS = CONTEXT + 2 * (CONTEXT // 2) + 2  # tokens of a text that moves its window twice


def last_logits(model, ids):
    """The logits (B, V) after a text (B, T) of any length."""
    with torch.no_grad():
        return model.logits(model.hidden_states(context_window(ids, CONTEXT))[:, -1])


def assert_same(cached, model, ids):
    expected = last_logits(model, ids)
    torch.testing.assert_close(last_logits(cached, ids), expected, rtol=1e-8, atol=1e-10)


@pytest.fixture
def positions_read(model):
    """How many positions went through the blocks, pass by pass."""
    counts = []
    mlp = model.blocks[0].mlp
    hook = mlp.register_forward_hook(lambda _m, _i, output: counts.append(output.shape[1]))
    yield counts
    hook.remove()


@settings(max_examples=60, deadline=None)
@given(cuts=st.sets(st.integers(1, 8)), B=st.integers(1, 3), seed=st.integers(0, 99))
def test_every_split_of_a_sequence_gives_what_the_whole_gives(cuts, B, seed):
    generator = torch.Generator().manual_seed(seed)
    query, key, value = torch.randn(3, B, 2, 9, 4, dtype=torch.float64, generator=generator)
    cache = torch.full((2, B, 2, 11, 4), float("nan"), dtype=torch.float64)  # unused room is NaN
    parts = []
    for start, end in pairwise([0, *sorted(cuts), 9]):
        new = (part[:, :, start:end] for part in (query, key, value))
        parts.append(attend_cached(*new, cache, start))
    expected = causal_weights(query, key) @ value
    torch.testing.assert_close(torch.cat(parts, dim=2), expected, rtol=1e-10, atol=1e-12)
    assert torch.equal(cache[0, :, :, :9], key) and torch.equal(cache[1, :, :, :9], value)
    assert cache[:, :, :, 9:].isnan().all()


@pytest.mark.parametrize("B", [1, 4])
def test_logits_are_those_without_a_cache_at_every_length_and_through_two_refills(model, B):
    for length in range(1, CONTEXT + 1):
        cached, ids = CachedGPT(model), random_ids(model.config, B, TWO_REFILLS, seed=length)
        for T in range(length, TWO_REFILLS + 1):
            assert_same(cached, model, ids[:, :T])


SHAPES = {"temperature": st.just(0.0) | st.floats(0.3, 3.0), "n_sequences": st.sampled_from([1, 4])}
SHAPES |= {"repetition_penalty": st.sampled_from([1.0, 1.3])}
SHAPES |= {"seed": st.integers(0, 999), "top_p": st.sampled_from([None, 0.8])}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=24), st.fixed_dictionaries(SHAPES))
def test_sequences_greedy_or_drawn_are_those_without_a_cache(model, prompt, shapes):
    without = list(generate_ids(model, prompt, 24, end_of_text=7, **shapes))
    assert list(generate_ids(CachedGPT(model), prompt, 24, end_of_text=7, **shapes)) == without


def test_each_position_is_read_once_and_a_full_context_again_from_its_last_half(
    model, positions_read
):
    generate(model, [3, 1, 4, 1, 5], 4, temperature=0)
    assert positions_read == [5, 6, 7, 8]
    positions_read.clear()
    generate(CachedGPT(model), [3, 1, 4, 1, 5], 16, seed=0)
    # 12 tokens fit; the 13th leaves the last 7 of them, which are read again
    assert positions_read == [5] + [1] * 7 + [7] + [1] * 5 + [7, 1]


# two tokens only, so that texts begin alike again and again
TEXTS = st.tuples(st.integers(1, 2), st.lists(st.integers(0, 1), min_size=1, max_size=CONTEXT))


@settings(max_examples=40, deadline=None)
@given(st.lists(TEXTS, min_size=2, max_size=5))
def test_nothing_of_another_text_is_left_over(model, texts):
    cached = CachedGPT(model)
    for B, text in texts:
        assert_same(cached, model, torch.tensor([text] * B))


def test_rows_that_part_are_read_again_where_the_first_of_them_parts(model):
    cached, ids = CachedGPT(model), random_ids(model.config, 3, 8)
    assert_same(cached, model, ids)
    ids[1, 5] = (ids[1, 5] + 1) % 61  # in place: what the cache remembers must not follow
    assert_same(cached, model, ids)
    assert cached.hidden_states(ids).shape[1] == 1  # the same text once more costs one position


def test_an_interrupted_pass_leaves_nothing_that_is_trusted(model, monkeypatch):
    def interrupted(x):
        raise KeyboardInterrupt

    cached, first = CachedGPT(model), random_ids(model.config, 1, 8)
    assert_same(cached, model, first)
    other = first.clone()
    other[0, 3:] = (other[0, 3:] + 1) % 61
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(model.blocks[0].mlp, "forward", interrupted)
        cached.hidden_states(other)  # the first layer's cache has been written over
    assert_same(cached, model, first)


def test_parameters_are_shared_and_the_cache_is_none(model):
    cached = CachedGPT(model)
    last_logits(cached, random_ids(model.config, 2, 3))
    assert {p.data_ptr() for p in cached.parameters()} == {p.data_ptr() for p in model.parameters()}
    assert cached.state_dict().keys() == model.state_dict().keys()
    assert not last_logits(cached, random_ids(model.config, 2, 4)).requires_grad


def test_room_is_made_once_for_a_whole_context(model):
    cached, places = CachedGPT(model), set()
    ids = random_ids(model.config, 2, CONTEXT)
    for T in range(1, CONTEXT + 1):
        cached.hidden_states(ids[:, :T])
        places.add(cached.caches[0].data_ptr())
        assert [cache.shape for cache in cached.caches] == [(2, 2, 2, CONTEXT, 8)] * 2
    assert len(places) == 1


def test_the_mode_comes_from_the_model_and_dropout_is_off_while_generating(model, make_model):
    training = make_model().train()
    cached = CachedGPT(training)
    first = generate(cached, [1, 2], 8, temperature=0)
    assert first == generate(model, [1, 2], 8, temperature=0)
    assert training.training and cached.training and training.blocks[1].mlp.training


def test_ids_that_the_model_would_refuse_are_refused(model):
    with pytest.raises(TokenOutOfRange, match="token id 61 is outside"):
        CachedGPT(model).hidden_states(torch.tensor([[1, 61]]))
    with pytest.raises(PromptError, match="13 tokens but the model's context is 12"):
        CachedGPT(model).hidden_states(torch.zeros(1, CONTEXT + 1, dtype=torch.long))


def test_spare_rows_of_the_table_are_not_scored(make_model):
    cached = CachedGPT(make_model(vocab_multiple=64))
    assert last_logits(cached, torch.tensor([[1, 2]])).shape == (1, 61)


def test_half_precision_is_cached_as_such(make_model):
    model = make_model(dtype=torch.bfloat16)
    cached, ids = CachedGPT(model), random_ids(model.config, 2, 9)
    for T in range(4, 10):
        found, expected = last_logits(cached, ids[:, :T]), last_logits(model, ids[:, :T])
        assert F.cosine_similarity(found.float(), expected.float()).min() > 0.99
    assert cached.caches[0].dtype == torch.bfloat16
