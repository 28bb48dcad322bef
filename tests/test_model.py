"""The model against transformers' GPT-2 on the same random weights, and against arithmetic."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers_twin import as_theirs, random_ids, transformers_name, twins

from gptlib.config import GPTConfig
from gptlib.errors import ConfigError, PromptError, TokenOutOfRange
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


def next_token_loss(logits: Tensor, ids: Tensor) -> Tensor:
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def relative_difference(a: Tensor, b: Tensor) -> float:
    return float(((a - b).norm() / b.norm()).detach())


@pytest.mark.parametrize(
    ("config", "B", "T"),
    [(SMALL, 3, 11), (OTHER, 2, 6), (FULL, 1, 5)],
    ids=["3x24", "2x30", "124M"],
)
def test_logits_loss_and_every_gradient_equal_transformers(
    config: GPTConfig, B: int, T: int
) -> None:
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
def test_logits_equal_transformers_in_float32(config: GPTConfig) -> None:
    ours, theirs = twins(config, std=0.02, dtype=torch.float32)
    ids = random_ids(config, 4, config.context_length)
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), theirs(ids).logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "total"), FAMILY.items())
@pytest.mark.parametrize("qkv_bias", [True, False])
def test_parameters_are_counted_from_the_shape(name: str, total: int, qkv_bias: bool) -> None:
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


@pytest.mark.parametrize("name", FAMILY)
def test_first_loss_stands_just_above_the_logarithm_of_the_vocabulary(name: str) -> None:
    # two blocks of the real width; the initial scale of the projections is that of two blocks
    config = GPTConfig.named(name, n_layers=2, context_length=64)
    model = GPT(config, seed=1).eval()
    ids = random_ids(config, 2, 24)
    with torch.no_grad():
        logits = model(ids)
    excess = float(next_token_loss(logits, ids)) - math.log(config.vocab_size)
    assert 0 < excess < 0.5
    assert excess == pytest.approx(float(logits.var()) / 2, abs=0.2)  # half the logits' variance


def test_initial_parameters_are_gpt2s() -> None:
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


def test_future_tokens_cannot_change_the_past() -> None:
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


def outputs_of_every_block(model: GPT, ids: Tensor) -> list[Tensor]:
    """The residual stream after each block, and the logits."""
    outputs: list[Tensor] = []
    hooks = [
        block.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
        for block in model.blocks
    ]
    with torch.no_grad():
        logits = model(ids)
    for hook in hooks:
        hook.remove()
    return [*outputs, logits]


@pytest.mark.parametrize("qkv_bias", [True, False])
def test_every_parameter_gets_a_gradient(qkv_bias: bool) -> None:
    config = GPTConfig(
        vocab_size=61, context_length=11, n_layers=6, n_heads=2, width=24, qkv_bias=qkv_bias
    )
    model = GPT(config, seed=0)
    assert sum("qkv.bias" in name for name, _ in model.named_parameters()) == 6 * qkv_bias
    ids = random_ids(config, 3, config.context_length)
    next_token_loss(model(ids), ids).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_without_qkv_bias_the_model_is_the_one_whose_biases_are_zero() -> None:
    with_bias, without = (
        GPT(SMALL, seed=5),
        GPT(GPTConfig.from_dict({**SMALL.to_dict(), "qkv_bias": False})),
    )
    missing = without.load_state_dict(with_bias.state_dict(), strict=False)
    assert missing.missing_keys == []
    assert missing.unexpected_keys == [f"blocks.{n}.attention.qkv.bias" for n in range(3)]
    ids = random_ids(SMALL, 2, 9)
    torch.testing.assert_close(without(ids), with_bias(ids))


def test_head_is_the_token_embedding() -> None:
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


def test_dropout_acts_in_training_only() -> None:
    config = GPTConfig(
        vocab_size=61, context_length=11, n_layers=1, n_heads=2, width=24, dropout=0.5
    )
    model, ids = GPT(config, seed=0), random_ids(config, 2, 9)
    assert not torch.equal(model(ids), model(ids))
    model.eval()
    assert torch.equal(model(ids), model(ids))


def test_a_seed_gives_the_same_parameters_whatever_was_drawn_before() -> None:
    first = GPT(SMALL, seed=11).state_dict()
    torch.rand(5)
    again, other = GPT(SMALL, seed=11).state_dict(), GPT(SMALL, seed=12).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["token_embedding.weight"], other["token_embedding.weight"])
    torch.manual_seed(0)
    one = GPT(SMALL).state_dict()
    torch.manual_seed(0)
    two = GPT(SMALL).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        (torch.tensor([[3, 61]]), TokenOutOfRange, "token id 61 is outside the vocabulary of 61"),
        (torch.tensor([[-1, 4]]), TokenOutOfRange, "token id -1 is outside the vocabulary of 61"),
        (
            torch.zeros(1, 12, dtype=torch.long),
            PromptError,
            "12 tokens but the model's context is 11",
        ),
        (torch.zeros(1, 0, dtype=torch.long), PromptError, "at least one position"),
        (torch.zeros(5, dtype=torch.long), PromptError, r"ids have shape \(5,\)"),
    ],
)
def test_ids_that_cannot_be_read_are_named(
    ids: Tensor, error: type[Exception], message: str
) -> None:
    model = GPT(SMALL, seed=0)
    with pytest.raises(error, match=message) as caught:
        model(ids)
    assert "\n" not in str(caught.value)
    with pytest.raises(error, match=message):
        check_ids(ids, SMALL)


def test_ids_at_the_limits_are_read() -> None:
    model = GPT(SMALL, seed=0)
    ids = torch.full((2, SMALL.context_length), SMALL.vocab_size - 1)
    ids[0] = 0
    assert model(ids).shape == (2, SMALL.context_length, SMALL.vocab_size)


def test_one_sequence_does_not_depend_on_its_neighbours() -> None:
    model, ids = GPT(SMALL, seed=0).eval(), random_ids(SMALL, 3, 9)
    together = model(ids)
    for row in range(3):
        torch.testing.assert_close(model(ids[row : row + 1])[0], together[row])


def test_an_unknown_key_of_the_configuration_is_named() -> None:
    with pytest.raises(ConfigError, match="unknown GPTConfig key 'n_embd'"):
        GPT(GPTConfig.from_dict({**SMALL.to_dict(), "n_embd": 768}))
