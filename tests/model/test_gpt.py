"""The model against transformers' GPT-2 on the same random weights, and against arithmetic."""

import dataclasses
import math

import pytest
import torch
from torch.nn import functional as F
from transformers_twin import as_theirs, random_ids, transformers_name, twins

from gptlib.config import GPTConfig
from gptlib.errors import PromptError, TokenOutOfRange
from gptlib.model import GPT, check_ids, count_parameters

SMALL = GPTConfig(vocab_size=61, context_length=11, n_layers=3, n_heads=2, width=24, dropout=0.0)
OTHER = GPTConfig(vocab_size=97, context_length=7, n_layers=2, n_heads=5, width=30, dropout=0.0)
FULL = GPTConfig(dropout=0.0)  # the 124M model itself
FAMILY = {
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
}


def next_token_loss(logits, ids):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def relative_difference(a, b):
    return float(((a - b).norm() / b.norm()).detach())


@pytest.mark.parametrize(
    ("config", "B", "T"),
    [(SMALL, 3, 11), (OTHER, 2, 6), (FULL, 1, 5)],
    ids=["3x24", "2x30", "124M"],
)
def test_logits_loss_and_every_gradient_equal_transformers(config, B, T):
    ours, theirs = twins(config, std=0.3, dtype=torch.float64)
    ids = random_ids(config, B, T)
    our_logits, result = ours(ids), theirs(ids, labels=ids)
    assert our_logits.shape == (B, T, config.vocab_size)
    assert relative_difference(our_logits, result.logits) < 1e-8
    our_loss, their_loss = next_token_loss(our_logits, ids), next_token_loss(result.logits, ids)
    assert relative_difference(our_loss, their_loss) < 1e-8
    assert relative_difference(our_loss, result.loss) < 1e-6  # theirs is taken in float32
    our_loss.backward()
    their_loss.backward()
    their_gradients = {name: p.grad for name, p in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        gradient = as_theirs(name, parameter.grad)
        expected = their_gradients[transformers_name(name)]
        if name.endswith("qkv.bias"):  # a key's bias shifts a whole row of scores: no gradient
            C = config.width
            assert float(gradient[C : 2 * C].norm()) < 1e-8 * float(gradient.norm())
        assert relative_difference(gradient, expected) < 1e-8, name


@pytest.mark.parametrize("config", [SMALL, OTHER])
def test_logits_equal_transformers_in_float32(config):
    ours, theirs = twins(config, std=0.02, dtype=torch.float32)
    ids = random_ids(config, 4, config.context_length)
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), theirs(ids).logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "total"), FAMILY.items())
@pytest.mark.parametrize("qkv_bias", [True, False])
def test_parameters_are_counted_from_the_shape(name, total, qkv_bias):
    config = GPTConfig.named(name, qkv_bias=qkv_bias)
    counts = count_parameters(config)
    with torch.device("meta"):
        model = GPT(config, seed=0)
    assert counts["total"] == model.n_parameters()
    assert counts["total"] == total - (0 if qkv_bias else 3 * config.width * config.n_layers)
    parts = {
        "token embedding": "token_embedding",
        "position embedding": "position_embedding",
        "attention": "attention",
        "MLP": "mlp",
        "LayerNorm": "ln_",
    }
    for part, fragment in parts.items():
        sizes = [p.numel() for name, p in model.named_parameters() if fragment in name]
        assert counts[part] == sum(sizes), part
    assert sum(counts[part] for part in parts) == counts["total"]


@pytest.mark.parametrize("name", ["gpt2", "gpt2-xl"])  # the narrowest and the widest
def test_first_loss_stands_just_above_the_logarithm_of_the_vocabulary(name):
    # two blocks of the real width; the initial scale of the projections is that of two blocks
    config = GPTConfig.named(name, n_layers=2, context_length=64)
    model = GPT(config, seed=1).eval()
    ids = random_ids(config, 2, 24)
    with torch.no_grad():
        logits = model(ids)
    excess = float(next_token_loss(logits, ids)) - math.log(config.vocab_size)
    assert 0 < excess < 0.5
    assert excess == pytest.approx(float(logits.var()) / 2, abs=0.2)  # half the logits' variance


def test_initial_parameters_are_gpt2s():
    config = GPTConfig.named("gpt2", vocab_size=500, n_layers=8, context_length=128)
    model = GPT(config, seed=3)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            expected = 1.0 if "ln_" in name and name.endswith("weight") else 0.0
            assert torch.equal(parameter, torch.full_like(parameter, expected)), name
        else:
            std = 0.02 / math.sqrt(16) if name.endswith("projection.weight") else 0.02
            assert float(parameter.detach().std()) == pytest.approx(std, rel=0.02), name
            assert abs(float(parameter.detach().mean())) < std / 50, name


def test_future_tokens_cannot_change_the_past():
    """Edit each position of each row: no block's output before it, and no other row, may move."""
    ours, theirs = twins(SMALL, std=0.3, dtype=torch.float64)
    ids = random_ids(SMALL, 3, SMALL.context_length)
    before, expected = outputs_of_every_block(ours, ids), theirs(ids, output_hidden_states=True)
    for ours_at, theirs_at in zip(before[:-1], expected.hidden_states[1:-1], strict=False):
        assert relative_difference(ours_at, theirs_at) < 1e-8  # the values are right as well
    for row in range(ids.shape[0]):
        for position in range(ids.shape[1]):
            edited = ids.clone()
            edited[row, position] = (edited[row, position] + 1) % SMALL.vocab_size
            for old, new in zip(before, outputs_of_every_block(ours, edited), strict=True):
                moved = (old - new).abs().amax(dim=-1)  # (B, T)
                assert not moved[row, :position].any()
                assert (moved[row, position:] > 1e-9).all()  # and every later position listens
                assert not moved[torch.arange(ids.shape[0]) != row].any()


def outputs_of_every_block(model, ids):
    """The residual stream after each block, and the logits."""
    outputs = []
    keep = [lambda _module, _inputs, output: outputs.append(output)]
    hooks = [block.register_forward_hook(*keep) for block in model.blocks]
    with torch.no_grad():
        logits = model(ids)
    for hook in hooks:
        hook.remove()
    return [*outputs, logits]


def test_without_qkv_bias_the_model_is_the_one_whose_biases_are_zero():
    with_bias, without = GPT(SMALL, seed=5), GPT(dataclasses.replace(SMALL, qkv_bias=False))
    missing = without.load_state_dict(with_bias.state_dict(), strict=False)
    assert missing.missing_keys == []
    assert missing.unexpected_keys == [f"blocks.{n}.attention.qkv.bias" for n in range(3)]
    ids = random_ids(SMALL, 2, 9)
    torch.testing.assert_close(without(ids), with_bias(ids))


def test_head_is_the_token_embedding():
    model = GPT(SMALL, seed=0).eval()
    ids = random_ids(SMALL, 2, 9)
    assert torch.equal(model(ids), model.logits(model.hidden_states(ids)))
    with torch.no_grad():
        model.token_embedding.weight[4] *= 2
    assert "head" not in " ".join(dict(model.named_parameters()))
    hidden_states = torch.randn(2, 3, SMALL.width, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        model.logits(hidden_states), hidden_states @ model.token_embedding.weight.T
    )


def test_dropout_acts_in_training_only():
    model, ids = GPT(dataclasses.replace(SMALL, dropout=0.5), seed=0), random_ids(SMALL, 2, 9)
    assert not torch.equal(model(ids), model(ids))
    model.eval()
    assert torch.equal(model(ids), model(ids))


def test_a_seed_gives_the_same_parameters_whatever_was_drawn_before():
    def same(one, other):
        return all(map(torch.equal, one.parameters(), other.parameters()))

    first = GPT(SMALL, seed=11)
    torch.rand(5)
    assert same(first, GPT(SMALL, seed=11)) and not same(first, GPT(SMALL, seed=12))
    torch.manual_seed(0)
    one = GPT(SMALL)
    torch.manual_seed(0)
    assert same(one, GPT(SMALL))


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        (torch.tensor([[3, 61]]), TokenOutOfRange, "token id 61 is outside the vocabulary of 61"),
        (torch.tensor([[-1, 4]]), TokenOutOfRange, "token id -1 is outside the vocabulary of 61"),
        (torch.tensor([[0] * 12]), PromptError, "12 tokens but the model's context is 11"),
        (torch.tensor([[]]), PromptError, "at least one position"),
        (torch.tensor([0] * 5), PromptError, r"ids have shape \(5,\)"),
    ],
)
def test_ids_that_cannot_be_read_are_named(ids, error, message):
    for read in (GPT(SMALL, seed=0), lambda ids: check_ids(ids, SMALL)):
        with pytest.raises(error, match=message) as caught:
            read(ids)
        assert "\n" not in str(caught.value)


def test_ids_at_the_limits_are_read():
    ids = torch.full((2, SMALL.context_length), SMALL.vocab_size - 1)
    ids[0] = 0
    assert GPT(SMALL, seed=0)(ids).shape == (2, SMALL.context_length, SMALL.vocab_size)
