"""Packed weights: the same numbers, or nearly the same for a quarter of the bytes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers_twin import random_ids

from gptlib.config import GPTConfig, TrainingConfig
from gptlib.data.corpora import load_corpus
from gptlib.data.dataset import TokenDataset
from gptlib.errors import ConfigError
from gptlib.generation import generate, token_log_probs
from gptlib.inference import Int8Linear, PackedLinear, prepare_for_inference
from gptlib.kv_cache import CachedGPT
from gptlib.model import GPT
from gptlib.tokenizer import CharacterTokenizer
from gptlib.training.optimizer import make_optimizer
from gptlib.training.step import training_step

PROMPT = [1, 2, 3]


@pytest.fixture
def make(make_model):
    """Each call makes a new one: a model is taken over."""
    return lambda dtype=torch.float32: make_model(std=0.3, dtype=dtype, vocab_multiple=16)


SHAPES, WIDTHS = st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(1, 40)


@settings(max_examples=40, deadline=None)
@given(SHAPES, st.tuples(WIDTHS, WIDTHS), st.booleans(), st.integers(0, 99))
def test_both_kinds_compute_what_a_linear_layer_does(shape, sizes, bias, seed):
    torch.manual_seed(seed)
    linear, x = nn.Linear(*sizes, bias=bias), torch.randn(*shape, sizes[0])
    with torch.no_grad():
        expected = linear(x)
        packed = PackedLinear(linear.weight, linear.bias)(x)
        rounded = Int8Linear(linear.weight, linear.bias)(x)
    torch.testing.assert_close(packed, expected)
    # half a step of 1/127 in each weight, and of the range over 127 in each input
    steps = x.abs().max() * linear.weight.abs().max() * sizes[0] * (0.5 / 127 + 1 / 127)
    assert rounded.shape == expected.shape and (rounded - expected).abs().max() <= steps + 1e-6


def test_int8_gives_each_row_a_scale_of_its_own():
    torch.manual_seed(0)
    weight, x = torch.randn(4, 32), torch.randn(3, 32)
    weight[0] *= 1_000  # under one scale for all, the other rows would be nothing but zeros
    found, expected = Int8Linear(weight, None)(x), x @ weight.T
    torch.testing.assert_close(found[:, 1:], expected[:, 1:], atol=0.2, rtol=0)


def test_float32_gives_the_same_logits_and_text_with_a_cache_and_without(make):
    model = make()
    ids = random_ids(model.config, 2, 12)
    with torch.no_grad():
        expected, text = model(ids), generate(model, PROMPT, 40, temperature=0)
        fast = prepare_for_inference(model)
        torch.testing.assert_close(fast(ids), expected)
    assert fast(ids).shape == (2, 12, 61)  # no spare row is scored
    assert generate(fast, PROMPT, 40, temperature=0) == text
    assert generate(CachedGPT(fast), PROMPT, 40, temperature=0) == text


def test_int8_keeps_the_perplexity_of_a_trained_model_within_a_hundredth():
    """Four layers that have learned to spell, and a text that they have not seen."""
    text = "\n".join(load_corpus("sample-story").documents)
    tokenizer = CharacterTokenizer.train(text)
    ids = torch.tensor(tokenizer.encode(text))
    config = GPTConfig(tokenizer.vocab_size, 32, n_layers=4, n_heads=2, width=48, dropout=0.0)
    model = GPT(config, seed=0).train()
    optimizer = make_optimizer(model, TrainingConfig())
    data = TokenDataset(ids[:-600], 32)
    generator = torch.Generator().manual_seed(0)
    for _ in range(120):
        rows = torch.randint(len(data), (16,), generator=generator)
        training_step(model, optimizer, [data[rows]], 3e-3, clip_norm=1.0)
    unseen = ids[None, -600:]
    exact = -token_log_probs(model.eval(), unseen).mean()
    assert exact < 2.7  # it has learned: a guess among the characters costs more than 4
    rounded = -token_log_probs(prepare_for_inference(model, "int8"), unseen).mean()
    assert 1e-6 < abs(rounded - exact) < 0.01


def test_int8_weights_hold_a_quarter_of_the_bytes_and_no_float_copy(make):
    names = {name for name, _ in prepare_for_inference(make(), "int8").named_parameters()}
    assert not [name for name in names if ".attention." in name or ".mlp." in name]
    assert {"token_embedding.weight", "blocks.0.ln_1.weight", "ln_final.bias"} <= names


def test_bfloat16_is_the_model_in_half_precision(make):
    fast = prepare_for_inference(make(), "bfloat16")
    assert {parameter.dtype for parameter in fast.parameters()} == {torch.bfloat16}
    assert len(generate(CachedGPT(fast), PROMPT, 40, temperature=0)[0]) == 43


def test_what_cannot_work_is_named(make):
    with pytest.raises(ConfigError, match="dtype is 'int4': use one of float32, bfloat16, int8"):
        prepare_for_inference(make(), "int4")
    with pytest.raises(ConfigError, match="dtype int8 is for CPUs, the model is on meta"):
        prepare_for_inference(make().to("meta"), "int8")
    with pytest.raises(ConfigError, match="int8 layers cannot be compiled: leave one"):
        prepare_for_inference(make(), "int8", compiled=True)


def test_a_compiled_model_writes_the_same_text_and_keeps_its_names(make, monkeypatch):
    compile = nn.Module.compile  # traced as ever, but no C++ compiler is asked for
    monkeypatch.setattr(nn.Module, "compile", lambda m, **kw: compile(m, backend="eager", **kw))
    expected = generate(make(), PROMPT, 8, temperature=0)
    fast = prepare_for_inference(make(), compiled=True)
    assert all(block.mlp._compiled_call_impl is not None for block in fast.blocks)
    assert generate(CachedGPT(fast), PROMPT, 8, temperature=0) == expected
    assert fast.state_dict().keys() == make().state_dict().keys()


def test_a_model_stays_as_it_is_without_onednn_and_in_float64(make, monkeypatch):
    model = make(torch.float64)
    assert prepare_for_inference(model) is model
    assert len(generate(CachedGPT(model), PROMPT, 4, temperature=0)[0]) == 7
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    model = make()
    assert prepare_for_inference(model) is model
