"""Weights laid out for writing: the same numbers, or nearly the same for a quarter of the bytes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers_twin import random_ids

from gptlib.config import GPTConfig, TrainingConfig
from gptlib.data.corpora import load_corpus
from gptlib.data.windows import windows
from gptlib.errors import ConfigError
from gptlib.generation import CachedGPT, generate, lay_out, log_probabilities
from gptlib.generation.layout import BlockedLinear, Int8Linear
from gptlib.model import GPT
from gptlib.tokenizer import CharacterTokenizer
from gptlib.training.optimizer import make_optimizer
from gptlib.training.step import training_step

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = GPTConfig(61, 32, n_layers=2, n_heads=2, width=24, dropout=0.0, vocab_multiple=16)


def small_model() -> GPT:
    model, generator = GPT(SMALL).eval(), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3, generator=generator)
    return model


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    bias=st.booleans(),
    seed=st.integers(0, 99),
)
def test_both_kinds_compute_what_a_linear_layer_does(
    shape: list[int], sizes: tuple[int, int], bias: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    linear, x = nn.Linear(*sizes, bias=bias), torch.randn(*shape, sizes[0])
    with torch.no_grad():
        expected = linear(x)
        blocked = BlockedLinear(linear.weight, linear.bias)(x)
        rounded = Int8Linear(linear.weight, linear.bias)(x)
    torch.testing.assert_close(blocked, expected)
    # half a step of 1/127 in each weight, and of the range over 127 in each input
    steps = x.abs().max() * linear.weight.abs().max() * sizes[0] * (0.5 / 127 + 1 / 127)
    assert rounded.shape == expected.shape and (rounded - expected).abs().max() <= steps + 1e-6


def test_int8_gives_each_row_a_scale_of_its_own() -> None:
    torch.manual_seed(0)
    weight, x = torch.randn(4, 32), torch.randn(3, 32)
    weight[0] *= 1_000  # under one scale for all, the other rows would be nothing but zeros
    found, expected = Int8Linear(weight, None)(x), x @ weight.T
    torch.testing.assert_close(found[:, 1:], expected[:, 1:], atol=0.2, rtol=0)


def test_float32_gives_the_same_logits_and_text_with_a_cache_and_without() -> None:
    model, ids = small_model(), random_ids(SMALL, 2, 20)
    with torch.no_grad():
        expected = model(ids)
        text = generate(model, [1, 2, 3], 40, temperature=0)
        fast = lay_out(model)
        torch.testing.assert_close(fast(ids), expected)
    assert fast(ids).shape == (2, 20, 61)  # no spare row is scored
    assert generate(fast, [1, 2, 3], 40, temperature=0) == text
    assert generate(CachedGPT(fast), [1, 2, 3], 40, temperature=0) == text


@pytest.fixture(scope="module")
def trained() -> tuple[GPT, torch.Tensor]:
    """Four layers that have learned to spell, and a text that they have not seen."""
    text = "\n".join(load_corpus("sample-story").documents)
    tokenizer = CharacterTokenizer.train(text)
    ids = torch.tensor(tokenizer.encode(text))
    config = GPTConfig(tokenizer.vocab_size, 32, n_layers=4, n_heads=2, width=48, dropout=0.0)
    model = GPT(config, seed=0).train()
    optimizer = make_optimizer(model, TrainingConfig())
    x, y = windows(ids[:-600], 32, 32)
    generator = torch.Generator().manual_seed(0)
    for _ in range(120):
        rows = torch.randint(len(x), (16,), generator=generator)
        training_step(model, optimizer, [(x[rows], y[rows])], 3e-3, clip_norm=1.0)
    return model.eval(), ids[None, -600:]


def test_int8_keeps_the_perplexity_of_a_trained_model_within_a_hundredth(
    trained: tuple[GPT, torch.Tensor],
) -> None:
    model, unseen = trained
    exact = -log_probabilities(model, unseen).mean()
    assert exact < 2.7  # it has learned: a guess among the characters costs more than 4
    rounded = -log_probabilities(lay_out(model, "int8"), unseen).mean()
    assert abs(rounded - exact) > 1e-6 and (rounded - exact).exp().log().abs() < 0.01


def test_int8_weights_hold_a_quarter_of_the_bytes_and_no_float_copy() -> None:
    fast = lay_out(small_model(), "int8")
    names = {name for name, _ in fast.named_parameters()}
    assert not [name for name in names if ".attention." in name or ".mlp." in name]
    assert {"token_embedding.weight", "blocks.0.ln_1.weight", "ln_final.bias"} <= names


def test_bfloat16_is_the_model_in_half_precision() -> None:
    fast = lay_out(small_model(), "bfloat16")
    assert {parameter.dtype for parameter in fast.parameters()} == {torch.bfloat16}
    assert len(generate(CachedGPT(fast), [1, 2, 3], 40, temperature=0)[0]) == 43


def test_dtypes_that_cannot_work_are_named() -> None:
    with pytest.raises(ConfigError, match="dtype is 'int4': use one of float32, bfloat16, int8"):
        lay_out(small_model(), "int4")
    with pytest.raises(ConfigError, match="dtype int8 is for CPUs, the model is on meta"):
        lay_out(GPT(SMALL).to("meta"), "int8")


def test_a_compiled_model_writes_the_same_text_and_keeps_its_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compile = nn.Module.compile  # traced as ever, but no C++ compiler is asked for
    monkeypatch.setattr(
        nn.Module, "compile", lambda part, **kw: compile(part, backend="eager", **kw)
    )
    expected = generate(small_model(), [1, 2, 3], 8, temperature=0)
    fast = lay_out(small_model(), compiled=True)
    assert all(block.mlp._compiled_call_impl is not None for block in fast.blocks)
    assert generate(CachedGPT(fast), [1, 2, 3], 8, temperature=0) == expected
    assert fast.state_dict().keys() == small_model().state_dict().keys()
    with pytest.raises(ConfigError, match="int8 layers cannot be compiled: leave one"):
        lay_out(small_model(), "int8", compiled=True)


def test_without_onednn_the_model_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    model = small_model()
    assert lay_out(model) is model


def test_a_model_in_float64_stays_as_it_is_and_writes() -> None:
    model = small_model().double()
    assert lay_out(model) is model
    assert len(generate(CachedGPT(model), [1, 2, 3], 4, temperature=0)[0]) == 7
