"""Choosing tokens against hand-worked numbers, and whole texts against transformers' generate."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers_twin import random_ids, twins

from gptlib.config import GPTConfig
from gptlib.errors import ConfigError, PromptError, TokenOutOfRange
from gptlib.generation import (
    evaluating,
    generate,
    generate_ids,
    generate_text,
    keep_top_k,
    keep_top_p,
    sample_next,
    stream_text,
    visible,
)
from gptlib.model import GPT
from gptlib.tokenizer import BPETokenizer

pytestmark = pytest.mark.usefixtures("one_thread")

FIVE = torch.tensor([[4.0, 3.0, 2.0, 1.0, 0.0]])  # probabilities .636 .234 .086 .032 .012
THREE = torch.tensor([[2.0, 1.0, 0.0]])
SMALL = GPTConfig(vocab_size=61, context_length=16, n_layers=2, n_heads=2, width=24, dropout=0.0)
# Characters of two, three and four bytes, so that one token is often a part of a character.
TEXT = "وحد نهار كنت رايح للسوق 🙂🌍 déjà vu, then bread — 🥖 خبز. " * 3
TOKENIZER = BPETokenizer.train(TEXT, 300, special_tokens=["<|endoftext|>"])


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def frequencies(logits: Tensor, draws: int = 20_000, seed: int = 0, **settings: float) -> Tensor:
    """How often each token comes when one row is drawn from again and again."""
    ids = sample_next(logits.expand(draws, -1), generator=stream(seed), **settings)  # type: ignore[arg-type]
    return torch.bincount(ids, minlength=logits.shape[-1]) / draws


def kept(logits: Tensor) -> list[list[int]]:
    """For each row the tokens that a filter left possible."""
    return [row.isfinite().nonzero().flatten().tolist() for row in logits]


def small_model(std: float = 0.4, config: GPTConfig = SMALL) -> GPT:
    """A model whose parameters are large enough that its choices depend on what it reads."""
    model = GPT(config, seed=0).eval()
    generator = stream(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=std, generator=generator)
    return model


# --- one token -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [(0.5, [0.867, 0.117, 0.016]), (1.0, [0.665, 0.245, 0.090]), (2.0, [0.506, 0.307, 0.186])],
)
def test_tokens_come_as_often_as_the_softmax_says(
    temperature: float, expected: list[float]
) -> None:
    found = frequencies(THREE, temperature=temperature)
    torch.testing.assert_close(found, torch.tensor(expected), atol=0.012, rtol=0)


def test_top_p_keeps_the_token_that_reaches_p() -> None:
    # .636 + .234 = .870 is below .9, so the third (.086) is kept as well: .957
    assert kept(keep_top_p(FIVE, 0.9)) == [[0, 1, 2]]
    assert kept(keep_top_p(FIVE, 0.86)) == [[0, 1]]
    assert kept(keep_top_p(FIVE, 0.64)) == [[0, 1]]
    assert kept(keep_top_p(FIVE, 0.63)) == [[0]]
    found = frequencies(FIVE, top_p=0.9)
    expected = torch.tensor([0.665, 0.245, 0.090, 0.0, 0.0])  # the three, shared out anew
    torch.testing.assert_close(found, expected, atol=0.012, rtol=0)
    assert found[3:].tolist() == [0, 0]


def test_top_p_keeps_at_least_one_and_at_one_keeps_all() -> None:
    assert kept(keep_top_p(FIVE, 1e-9)) == [[0]]
    assert kept(keep_top_p(FIVE, 1.0)) == [[0, 1, 2, 3, 4]]
    assert sample_next(FIVE, top_p=1e-9, generator=stream(0)).tolist() == [0]


def test_top_k_keeps_k_and_a_larger_k_than_the_vocabulary_keeps_all() -> None:
    assert kept(keep_top_k(FIVE, 2)) == [[0, 1]]
    assert kept(keep_top_k(FIVE, 99)) == [[0, 1, 2, 3, 4]]
    found = frequencies(FIVE, top_k=2)
    expected = torch.tensor([0.731, 0.269, 0.0, 0.0, 0.0])
    torch.testing.assert_close(found, expected, atol=0.012, rtol=0)
    assert frequencies(FIVE, top_k=99).count_nonzero() == 5


def test_temperature_comes_before_top_p() -> None:
    # at temperature 2 the five probabilities are .429 .260 .158 .096 .058: four reach .9
    assert frequencies(FIVE, temperature=2.0, top_p=0.9).count_nonzero() == 4
    assert frequencies(FIVE, temperature=0.5, top_p=0.9).count_nonzero() == 2


def test_top_k_comes_before_top_p() -> None:
    # of the two that top-k leaves (.731, .269) the first alone reaches .7; of all five it does not
    assert frequencies(FIVE, top_k=2, top_p=0.7).count_nonzero() == 1
    assert frequencies(FIVE, top_p=0.7).count_nonzero() == 2


def test_greedy_takes_the_largest_whatever_else_is_set() -> None:
    logits = torch.randn(50, 97, generator=stream(3))
    for extra in ({}, {"top_k": 5}, {"top_p": 0.3}, {"generator": stream(0)}):
        assert torch.equal(sample_next(logits, temperature=0, **extra), logits.argmax(-1))
    assert torch.equal(sample_next(logits, top_k=1, generator=stream(0)), logits.argmax(-1))


def test_each_row_has_its_own_threshold() -> None:
    logits = torch.tensor([[9.0, 0, 0, 0, 0], [0, 1, 2, 3, 4], [1, 1, 1, 1, 1.5]])
    assert kept(keep_top_p(logits, 0.9)) == [[0], [2, 3, 4], [0, 1, 2, 3, 4]]
    distinct = torch.tensor([[9.0, 5, 1, 2, 3], [0, 1, 2, 3, 4], [1, 4, 3, 2, 0]])
    assert kept(keep_top_k(distinct, 2)) == [[0, 1], [3, 4], [1, 2]]
    ids = sample_next(logits, top_p=0.9, generator=stream(0))
    assert ids.shape == (3,) and ids[0] == 0 and ids[1] in (2, 3, 4)


def test_impossible_tokens_never_come() -> None:
    logits = torch.tensor([[0.0, 1.0, float("-inf"), float("-inf")]])
    for extra in ({}, {"top_k": 4}, {"top_k": 9}, {"top_p": 1.0}, {"temperature": 50.0}):
        assert frequencies(logits, **extra)[2:].tolist() == [0, 0]


def test_logits_stay_as_they_were() -> None:
    logits = torch.randn(3, 11, generator=stream(0))
    before = logits.clone()
    for extra in ({"temperature": 0}, {"temperature": 0.5}, {"top_k": 2}, {"top_p": 0.4}):
        sample_next(logits, **extra)
        assert torch.equal(logits, before)
    keep_top_k(logits, 2), keep_top_p(logits, 0.4)
    assert torch.equal(logits, before)


def test_generator_decides_and_the_global_stream_is_left_alone() -> None:
    logits = torch.zeros(200, 97)
    before = torch.get_rng_state()
    first = sample_next(logits, generator=stream(5))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert torch.equal(first, sample_next(logits, generator=stream(5)))
    assert not torch.equal(first, sample_next(logits, generator=stream(6)))
    one = stream(5)
    assert torch.equal(first, sample_next(logits, generator=one))
    assert not torch.equal(first, sample_next(logits, generator=one))  # the stream has moved on
    assert first.unique().numel() > 50  # and all rows do not share one draw


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"temperature": 1e-40}, "temperature is 1e-40"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": float("inf")}, "temperature is inf"),
        ({"top_k": 0}, "top_k is 0"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"top_p": 1.1}, "top_p is 1.1"),
    ],
)
def test_settings_out_of_range_are_named(extra: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sample_next(FIVE, **extra)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=message):
        generate(small_model(), [1], 2, **extra)


# --- a text, token by token ----------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_greedy_continuation_equals_transformers(seed: int) -> None:
    config = GPTConfig.from_dict({**SMALL.to_dict(), "context_length": 40})
    ours, theirs = twins(config, std=0.3, dtype=torch.float64)
    prompt = random_ids(config, 1, 5, seed)
    expected = theirs.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=35,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    found = generate(ours, prompt[0].tolist(), 35, temperature=0)
    assert found == expected.tolist()
    assert len(set(found[0][5:])) > 3  # not one token again and again


def test_what_the_model_sees_moves_by_half_a_context() -> None:
    ids = torch.arange(40)[None]
    first = [int(visible(ids[:, :T], 8)[0, 0]) for T in range(1, 22)]
    assert first == [0] * 8 + [4] * 4 + [8] * 4 + [12] * 4 + [16]
    for context_length in (1, 2, 5, 8):
        for T in range(1, 40):
            seen = visible(ids[:, :T], context_length)[0].tolist()
            assert 0 < len(seen) <= context_length and seen[-1] == T - 1
            assert all(b - a == 1 for a, b in pairwise(seen))


@pytest.mark.parametrize("length", [1, 15, 16, 17, 50])
def test_any_prompt_length_works_and_nothing_outside_the_window_matters(length: int) -> None:
    model = small_model()
    prompt = random_ids(SMALL, 1, length, seed=2)[0].tolist()
    ids = list(prompt)
    for _ in range(20):  # by hand: the whole window again for each token
        window = visible(torch.tensor([ids]), SMALL.context_length)
        with torch.no_grad():
            ids.append(int(model(window)[0, -1].argmax()))
    assert generate(model, prompt, 20, temperature=0) == [ids]


def test_a_seed_gives_the_same_text_and_sequences_differ() -> None:
    model = small_model(std=0.1)
    one = generate(model, [3, 1], 12, n_sequences=3, seed=4)
    torch.rand(2)
    assert one == generate(model, [3, 1], 12, n_sequences=3, seed=4)
    assert one != generate(model, [3, 1], 12, n_sequences=3, seed=5)
    assert len({tuple(sequence) for sequence in one}) == 3
    assert all(sequence[:2] == [3, 1] and len(sequence) == 14 for sequence in one)


def test_a_seed_leaves_the_global_stream_alone() -> None:
    model, before = small_model(), torch.get_rng_state()
    generate(model, [3], 4, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_each_sequence_ends_at_its_own_end_of_text() -> None:
    config = GPTConfig(vocab_size=7, context_length=32, n_layers=1, n_heads=2, width=8, dropout=0)
    model, end = small_model(0.1, config), 6
    settings = {"n_sequences": 8, "seed": 3}
    whole = generate(model, [1, 2], 25, **settings)
    cut = generate(model, [1, 2], 25, end_of_text=end, **settings)
    expected = [
        sequence[: sequence.index(end) + 1] if end in sequence else sequence for sequence in whole
    ]
    assert cut == expected
    assert len({len(sequence) for sequence in cut}) > 2  # they end at different lengths
    assert any(end not in sequence for sequence in cut) or max(map(len, cut)) < 27
    steps = list(generate_ids(model, [1, 2], 25, end_of_text=end, **settings))
    assert len(steps) == max(map(len, cut)) - 2  # and no step is taken for nobody


def test_end_of_text_within_the_prompt_does_not_end_it() -> None:
    assert len(generate(small_model(), [60, 3, 60], 5, end_of_text=60, seed=0)[0]) > 3


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_off_while_generating_and_the_mode_is_put_back(training: bool) -> None:
    config = GPTConfig.from_dict({**SMALL.to_dict(), "dropout": 0.5})
    model = small_model(config=config).train(training)
    first = generate(model, [1, 2], 8, temperature=0)
    assert model.training is training and model.blocks[1].mlp.training is training
    assert first == generate(model, [1, 2], 8, temperature=0)
    steps = generate_ids(model, [1, 2], 8)
    next(steps)
    steps.close()  # a reader who stops early
    assert model.training is training
    with pytest.raises(ZeroDivisionError), evaluating(model):
        assert not model.training
        _ = 1 / 0
    assert model.training is training


def test_prompts_that_cannot_be_continued_are_named() -> None:
    model = small_model()
    with pytest.raises(PromptError, match="the prompt is empty"):
        generate(model, [], 3)
    with pytest.raises(PromptError, match="the prompt is empty"):
        generate_text(model, TOKENIZER, "", 3)
    with pytest.raises(TokenOutOfRange, match="token id 61 is outside the vocabulary of 61"):
        generate(model, [4, 61], 3)
    with pytest.raises(
        TokenOutOfRange
    ):  # on the CPU, before the model is asked: it may be on a GPU
        generate(Speller([]), [4, TOKENIZER.vocab_size], 3)  # type: ignore[arg-type]
    for extra in ({"max_new_tokens": 0}, {"max_new_tokens": 3, "n_sequences": 0}):
        with pytest.raises(ConfigError, match="use 1 or more"):
            generate(model, [4], **extra)


# --- text in, text out ---------------------------------------------------------------------

TALKER = small_model(
    0.3, GPTConfig(TOKENIZER.vocab_size, 24, n_layers=1, n_heads=2, width=16, dropout=0.0)
)
PROMPTS = st.text(alphabet="abc وحدنهار🙂🌍é—\n", min_size=1, max_size=30)


@settings(max_examples=40, deadline=None)
@given(prompt=PROMPTS, seed=st.integers(0, 10_000), n=st.integers(1, 24))
def test_streamed_pieces_join_to_the_generated_text(prompt: str, seed: int, n: int) -> None:
    (whole,) = generate_text(TALKER, TOKENIZER, prompt, n, seed=seed)
    pieces = list(stream_text(TALKER, TOKENIZER, prompt, n, seed=seed))
    assert prompt + "".join(pieces) == whole
    assert all(pieces)  # a piece is shown only once there is something to show


def test_a_character_of_several_tokens_is_streamed_whole() -> None:
    """A model that spells 🙂 byte by byte: one piece comes out, not four replacement signs."""
    spelled = list("a🙂ب".encode())
    pieces = list(stream_text(Speller(spelled), TOKENIZER, "x", len(spelled)))  # type: ignore[arg-type]
    assert pieces == ["a", "🙂", "ب"]


def test_text_ends_before_the_end_of_text_token() -> None:
    end = TOKENIZER.end_of_text
    assert end is not None
    model = Speller([*b"ok", end, *b"more"])
    assert generate_text(model, TOKENIZER, "x", 9) == ["xok"]  # type: ignore[arg-type]
    assert list(stream_text(model, TOKENIZER, "x", 9)) == ["o", "k"]  # type: ignore[arg-type]


def test_generated_texts_are_as_many_as_asked_for() -> None:
    texts = generate_text(TALKER, TOKENIZER, "bread", 6, n_sequences=3, seed=1)
    assert len(texts) == 3 and all(text.startswith("bread") for text in texts)


class Speller(torch.nn.Module):
    """In a GPT's place: certain of a fixed list of ids, one after the other."""

    config = GPTConfig(TOKENIZER.vocab_size, 64, n_layers=1, n_heads=1, width=4)
    device = torch.device("cpu")

    def __init__(self, ids: list[int]) -> None:
        super().__init__()
        self.ids = ids

    def features(self, ids: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()  # no graph is kept while generating
        return torch.full((*ids.shape, 1), ids.shape[1] - 1)  # (B, T, 1): which one is due

    def logits(self, due: Tensor) -> Tensor:
        logits = torch.full((due.shape[0], self.config.vocab_size), float("-inf"))
        logits[:, self.ids[int(due[0, 0])]] = 0
        return logits  # (B, V)
