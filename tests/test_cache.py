"""The key/value cache against the pass over the whole text that it replaces."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from transformers_twin import random_ids

from gptlib.attention import causal_weights
from gptlib.config import GPTConfig
from gptlib.errors import PromptError, TokenOutOfRange
from gptlib.generation import CachedGPT, attend_cached, generate, generate_ids, visible
from gptlib.model import GPT

pytestmark = pytest.mark.usefixtures("one_thread")

CONTEXT = 12
SMALL = GPTConfig(
    vocab_size=61, context_length=CONTEXT, n_layers=2, n_heads=2, width=16, dropout=0.1
)
TWO_REFILLS = CONTEXT + 2 * (CONTEXT // 2) + 2  # tokens of a text that moves its window twice


def small_model(config: GPTConfig = SMALL) -> GPT:
    """Parameters so large that every choice depends on all that was read; float64."""
    model = GPT(config, seed=0).double().eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.4, generator=generator)
    return model


MODEL = small_model()


def last_logits(model: GPT, ids: Tensor) -> Tensor:
    """The logits (B, V) after a text (B, T) of any length."""
    with torch.no_grad():
        return model.logits(model.features(visible(ids, CONTEXT))[:, -1])


def assert_same(cached: GPT, ids: Tensor) -> None:
    expected = last_logits(MODEL, ids)
    torch.testing.assert_close(last_logits(cached, ids), expected, rtol=1e-8, atol=1e-10)


@pytest.fixture
def read() -> Iterator[list[int]]:
    """How many positions went through the blocks, pass by pass."""
    counts: list[int] = []
    hook = MODEL.blocks[0].mlp.register_forward_hook(  # type: ignore[union-attr]
        lambda _module, _input, output: counts.append(output.shape[1])
    )
    yield counts
    hook.remove()


# --- attention -------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(cuts=st.sets(st.integers(1, 8)), B=st.integers(1, 3), seed=st.integers(0, 99))
def test_every_split_of_a_sequence_gives_what_the_whole_gives(
    cuts: set[int], B: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    query, key, value = torch.randn(3, B, 2, 9, 4, dtype=torch.float64, generator=generator)
    cache = torch.full((2, B, 2, 11, 4), float("nan"), dtype=torch.float64)  # unused room is NaN
    places = [0, *sorted(cuts), 9]
    parts = []
    for start, end in pairwise(places):
        new = slice(start, end)
        parts.append(
            attend_cached(query[:, :, new], key[:, :, new], value[:, :, new], cache, start)
        )
    expected = causal_weights(query, key) @ value
    torch.testing.assert_close(torch.cat(parts, dim=2), expected, rtol=1e-10, atol=1e-12)
    assert torch.equal(cache[0, :, :, :9], key) and torch.equal(cache[1, :, :, :9], value)
    assert cache[:, :, :, 9:].isnan().all()


# --- the model -------------------------------------------------------------------------------


@pytest.mark.parametrize("B", [1, 4])
def test_logits_are_those_without_a_cache_at_every_length_and_through_two_refills(B: int) -> None:
    for length in range(1, CONTEXT + 1):
        cached, ids = CachedGPT(MODEL), random_ids(SMALL, B, TWO_REFILLS, seed=length)
        for T in range(length, TWO_REFILLS + 1):
            assert_same(cached, ids[:, :T])


@pytest.mark.parametrize("n", [1, 4])
def test_greedy_text_is_the_one_without_a_cache(n: int) -> None:
    texts = set()
    for length in range(1, CONTEXT + 1):
        prompt = random_ids(SMALL, 1, length, seed=length)[0].tolist()
        settings = {"temperature": 0, "n_sequences": n}
        found = generate(CachedGPT(MODEL), prompt, TWO_REFILLS - length, **settings)
        assert found == generate(MODEL, prompt, TWO_REFILLS - length, **settings)
        texts.add(tuple(found[0][length:]))
    assert len(texts) > CONTEXT // 2  # the model does not say the same whatever it reads


@settings(max_examples=30, deadline=None)
@given(
    prompt=st.lists(st.integers(0, 60), min_size=1, max_size=2 * CONTEXT),
    seed=st.integers(0, 999),
    temperature=st.floats(0.3, 3.0),
    penalty=st.sampled_from([1.0, 1.3]),
)
def test_drawn_sequences_that_end_at_different_places_are_those_without_a_cache(
    prompt: list[int], seed: int, temperature: float, penalty: float
) -> None:
    drawn = {
        "n_sequences": 4,
        "seed": seed,
        "temperature": temperature,
        "repetition_penalty": penalty,
        "end_of_text": 7,
    }
    without = list(generate_ids(MODEL, prompt, 20, **drawn))
    assert list(generate_ids(CachedGPT(MODEL), prompt, 20, **drawn)) == without


def test_each_position_is_read_once(read: list[int]) -> None:
    prompt = [3, 1, 4, 1, 5]
    generate(CachedGPT(MODEL), prompt, 6, temperature=0)
    assert read == [5, 1, 1, 1, 1, 1]
    read.clear()
    generate(MODEL, prompt, 6, temperature=0)
    assert read == [5, 6, 7, 8, 9, 10]


def test_a_full_context_is_read_again_from_its_last_half(read: list[int]) -> None:
    generate(CachedGPT(MODEL), [3], 20, seed=0)
    half = CONTEXT // 2
    # 12 tokens fit; the 13th leaves the last 7 of them, which are read again
    assert read == [1] * CONTEXT + [half + 1] + [1] * (half - 1) + [half + 1, 1]


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(
        st.tuples(st.integers(1, 2), st.lists(st.integers(0, 1), min_size=1, max_size=CONTEXT)),
        min_size=2,
        max_size=5,
    )
)
def test_nothing_of_another_text_is_left_over(texts: list[tuple[int, list[int]]]) -> None:
    """Two tokens only, so that texts begin alike again and again."""
    cached = CachedGPT(MODEL)
    for B, text in texts:
        assert_same(cached, torch.tensor([text] * B))


def test_rows_that_part_are_read_again_where_the_first_of_them_parts() -> None:
    cached = CachedGPT(MODEL)
    ids = random_ids(SMALL, 3, 8)
    assert_same(cached, ids)
    ids[1, 5] = (ids[1, 5] + 1) % 61  # in place: what the cache remembers must not follow
    assert_same(cached, ids)
    assert cached.features(ids).shape[1] == 1  # the same text once more costs one position


def test_an_interrupted_pass_leaves_nothing_that_is_trusted() -> None:
    class Interrupted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise KeyboardInterrupt

    cached, first = CachedGPT(MODEL), random_ids(SMALL, 1, 8)
    assert_same(cached, first)
    other = first.clone()
    other[0, 3:] = (other[0, 3:] + 1) % 61
    mlp = MODEL.blocks[0].mlp
    MODEL.blocks[0].mlp = Interrupted()
    try:
        with pytest.raises(KeyboardInterrupt):
            cached.features(other)  # the first layer's cache has been written over
    finally:
        MODEL.blocks[0].mlp = mlp
    assert_same(cached, first)


def test_parameters_are_shared_and_the_cache_is_none() -> None:
    cached = CachedGPT(MODEL)
    last_logits(cached, random_ids(SMALL, 2, 3))
    assert {p.data_ptr() for p in cached.parameters()} == {p.data_ptr() for p in MODEL.parameters()}
    assert cached.state_dict().keys() == MODEL.state_dict().keys()
    assert not last_logits(cached, random_ids(SMALL, 2, 4)).requires_grad


def test_room_is_made_once_for_a_whole_context() -> None:
    cached, places = CachedGPT(MODEL), set()
    ids = random_ids(SMALL, 2, CONTEXT)
    for T in range(1, CONTEXT + 1):
        cached.features(ids[:, :T])
        places.add(cached.caches[0].data_ptr())
        assert [cache.shape for cache in cached.caches] == [(2, 2, 2, CONTEXT, 8)] * 2
    assert len(places) == 1


def test_the_mode_comes_from_the_model_and_dropout_is_off_while_generating() -> None:
    model = small_model().train()
    cached = CachedGPT(model)
    first = generate(cached, [1, 2], 8, temperature=0)
    assert first == generate(MODEL, [1, 2], 8, temperature=0)
    assert model.training and cached.training and model.blocks[1].mlp.training


def test_ids_that_the_model_would_refuse_are_refused() -> None:
    cached = CachedGPT(MODEL)
    with pytest.raises(TokenOutOfRange, match="token id 61 is outside"):
        cached.features(torch.tensor([[1, 61]]))
    with pytest.raises(PromptError, match="13 tokens but the model's context is 12"):
        cached.features(torch.zeros(1, CONTEXT + 1, dtype=torch.long))


def test_spare_rows_of_the_table_are_not_scored() -> None:
    config = GPTConfig.from_dict({**SMALL.to_dict(), "vocab_multiple": 64})
    cached = CachedGPT(small_model(config))
    assert last_logits(cached, torch.tensor([[1, 2]])).shape == (1, 61)


def test_half_precision_is_cached_as_such() -> None:
    model = small_model().bfloat16()
    cached, ids = CachedGPT(model), random_ids(SMALL, 2, 9)
    for T in range(4, 10):
        found, expected = last_logits(cached, ids[:, :T]), last_logits(model, ids[:, :T])
        assert F.cosine_similarity(found.float(), expected.float()).min() > 0.99
    assert cached.caches[0].dtype == torch.bfloat16
