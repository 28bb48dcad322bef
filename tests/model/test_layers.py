"""Attention, LayerNorm, GELU, MLP and Block against PyTorch's own, and numbers worked by hand.

Parameters are drawn with a spread of 0.3: at GPT-2's start (scale 1, shift 0, weights of 0.02) a
wrong axis, a forgotten parameter or a wrong order hides below the tolerance. B, T, H and D differ
pairwise in every shape: two equal axes can be swapped unseen.
"""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from gptlib.attention import CausalSelfAttention, causal_weights, merge_heads, split_heads
from gptlib.block import MLP, Block, LayerNorm, gelu, layer_norm
from gptlib.config import GPTConfig

SHAPES = [(2, 5, 3, 4), (3, 7, 2, 5), (4, 3, 6, 2)]  # B, T, H, D
# The course's four tokens, `Every word looks back`: channels 1-2 are the first of two heads.
TOY = torch.tensor([[1.0, 0, 0, 1], [0, 2, 1, 0], [2, 1, -1, 2], [1, -1, 2, 1]])

each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
sizes = st.tuples(*[st.integers(1, 6)] * 4)


@pytest.fixture(autouse=True)
def same_numbers_in_any_order_of_tests():
    torch.manual_seed(0)


def close(found, expected, atol=1e-5):
    torch.testing.assert_close(found, expected, atol=atol, rtol=0)


def configuration(n_heads, head_width, **changes):
    width = n_heads * head_width
    small = GPTConfig(11, context_length=16, n_layers=1, n_heads=n_heads, width=width, dropout=0.0)
    return dataclasses.replace(small, **changes)


def made(kind, shape, dtype=torch.float32, **changes):
    """A layer whose parameters all have a spread of 0.3, LayerNorm's too, and an input for it."""
    B, T, H, D = shape
    layer = kind(configuration(H, D, **changes)).to(dtype)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.3)
    return layer, 3 * torch.randn(B, T, H * D, dtype=dtype) + 1  # neither centered nor of size 1


def queries_and_keys(shape):
    B, T, H, D = shape
    return torch.randn(B, H, T, D), torch.randn(B, H, T, D)


def causal_mask(shape):
    return torch.ones(shape[1], shape[1], dtype=torch.bool).triu(1)


# ---- attention -----------------------------------------------------------------------------------


@settings(deadline=None)
@given(sizes)
def test_each_head_has_its_own_channels_and_merging_lays_them_side_by_side(shape):
    B, T, H, D = shape
    x = torch.arange(B * T * H * D).view(B, T, H * D)
    y = torch.stack(x.split(D, dim=-1), dim=1)  # (B, H, T, D)
    assert torch.equal(split_heads(x, H), y) and torch.equal(merge_heads(y), x)
    other = x.permute(2, 1, 0).contiguous().permute(2, 1, 0)  # the same in another memory layout
    assert torch.equal(split_heads(other, H), y)


@each_shape
def test_weights_equal_torchs_and_are_exactly_zero_in_the_future(shape):
    query, key = queries_and_keys(shape)
    identity = torch.eye(shape[1]).expand(shape[0], shape[2], -1, -1)
    # values that are the identity hand the weights themselves over
    expected = F.scaled_dot_product_attention(query, key, identity, is_causal=True)
    weights = causal_weights(query, key)
    close(weights, expected)
    assert torch.equal(weights == 0, causal_mask(shape).expand_as(weights))


def test_weights_of_back_equal_the_numbers_worked_by_hand():
    first_head = TOY[None, None, :, :2]
    weights = causal_weights(first_head, first_head)[0, 0]
    powers = [math.exp(score / math.sqrt(2)) for score in (1, -2, 1, 2)]
    close(weights[3], torch.tensor([power / sum(powers) for power in powers]))
    assert [round(weight, 3) for weight in weights[3].tolist()] == [0.241, 0.029, 0.241, 0.489]


def test_huge_scores_stay_finite_and_weights_follow_the_device_and_dtype_of_the_query():
    query, key = queries_and_keys(SHAPES[0])
    weights = causal_weights(1e4 * query, 1e4 * key)
    assert (weights.triu(1) == 0).all()
    close(weights.sum(-1), torch.ones(weights.shape[:3]))
    assert causal_weights(query.double(), key.double()).dtype == torch.float64
    assert causal_weights(query.to("meta"), key.to("meta")).device.type == "meta"


@each_shape
@pytest.mark.parametrize("qkv_bias", [True, False])
def test_attention_and_its_gradients_equal_torchs(shape, qkv_bias):
    attention, x = made(CausalSelfAttention, shape, torch.float64, qkv_bias=qkv_bias)
    theirs = nn.MultiheadAttention(x.shape[-1], shape[2], batch_first=True).double()
    pairs = [
        (attention.qkv.weight, theirs.in_proj_weight),
        (attention.projection.weight, theirs.out_proj.weight),
        (attention.projection.bias, theirs.out_proj.bias),
    ]
    pairs += [(attention.qkv.bias, theirs.in_proj_bias)] if qkv_bias else []
    with torch.no_grad():
        theirs.in_proj_bias.zero_()
        for ours, other in pairs:
            other.copy_(ours)
    expected, _ = theirs(x, x, x, attn_mask=causal_mask(shape), need_weights=False)
    close(attention(x), expected)
    attention(x).square().sum().backward()
    expected.square().sum().backward()
    for ours, other in pairs:
        torch.testing.assert_close(ours.grad, other.grad)
    assert len(pairs) == len(list(attention.parameters()))


def test_attention_equals_the_toy_worked_head_by_head():
    attention = CausalSelfAttention(configuration(2, 2, qkv_bias=False))
    with torch.no_grad():
        attention.qkv.weight.copy_(torch.eye(4).repeat(3, 1))  # query = key = value = x
        attention.projection.weight.copy_(torch.eye(4))
        attention.projection.bias.zero_()
    close(attention(TOY[None])[0, 3], torch.tensor([1.2122, -0.1901, 1.7306, 0.9249]), 5e-5)


# ---- LayerNorm -----------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    axes=st.lists(st.integers(1, 4), max_size=3),
    width=st.integers(2, 12),
    size=st.sampled_from([1, 1e-1, 1e-2, 1e-3, 1e-5]),  # a variance that epsilon outweighs
    epsilon=st.sampled_from([1e-5, 1e-2]),
)
def test_layer_norm_equals_torchs(axes, width, size, epsilon):
    x = size * (3 * torch.randn(*axes, width) + 1)
    ln = LayerNorm(width, epsilon)
    assert torch.equal(ln.weight, torch.ones(width)) and torch.equal(ln.bias, torch.zeros(width))
    for parameter in ln.parameters():
        nn.init.normal_(parameter, std=0.3)
    expected = F.layer_norm(x, (width,), ln.weight, ln.bias, epsilon)
    close(layer_norm(x, ln.weight, ln.bias, epsilon), expected)
    close(ln(x), expected)


def test_layer_norm_by_hand():
    assert layer_norm(TOY, torch.ones(4), torch.zeros(4), 0.0)[0].tolist() == [1, -1, -1, 1]
    bias = torch.randn(4)
    y = layer_norm(torch.tensor([[3.0] * 4, [0.0] * 4]), torch.randn(4), bias, 1e-5)
    assert torch.equal(y, bias.expand(2, 4))  # a constant row is the shift
    assert LayerNorm(6).epsilon == 1e-5


# ---- GELU ----------------------------------------------------------------------------------------


def test_gelu_is_the_tanh_form_and_not_the_exact_one():
    grid = torch.linspace(-6, 6, 12_001, dtype=torch.float64)
    values = gelu(grid)
    close(values, F.gelu(grid, approximate="tanh"), 1e-12)
    gap = (values - F.gelu(grid)).abs()
    assert 4e-4 < gap.max() < 5e-4
    assert grid[gap.argmax()].abs().item() == pytest.approx(2.7, abs=0.05)
    assert values.min().item() == pytest.approx(-0.170, abs=5e-4)  # the notebook names this point
    assert grid[values.argmin()].item() == pytest.approx(-0.752, abs=2e-3)
    close(gelu(torch.tensor([-1e4, -100.0, 0, 100, 1e4])), torch.tensor([0, 0, 0, 100, 1e4]))


# ---- Block ---------------------------------------------------------------------------------------


def torch_twin(block, n_heads):
    """PyTorch's own pre-LN block with the same parameters, and the pairs of them."""
    width = block.ln_1.weight.numel()
    twin = nn.TransformerEncoderLayer(
        width, n_heads, 4 * width, 0.0, nn.GELU("tanh"), 1e-5, batch_first=True, norm_first=True
    ).to(block.ln_1.weight.dtype)
    pairs = [
        (block.attention.qkv.weight, twin.self_attn.in_proj_weight),
        (block.attention.qkv.bias, twin.self_attn.in_proj_bias),
    ]
    for ours, theirs in (
        (block.attention.projection, twin.self_attn.out_proj),
        (block.mlp.expand, twin.linear1),
        (block.mlp.projection, twin.linear2),
        (block.ln_1, twin.norm1),
        (block.ln_2, twin.norm2),
    ):
        pairs += [(ours.weight, theirs.weight), (ours.bias, theirs.bias)]
    with torch.no_grad():
        for ours, theirs in pairs:
            theirs.copy_(ours)
    return twin, pairs


@each_shape
def test_block_and_its_gradients_equal_torchs_pre_ln_layer(shape):
    block, x = made(Block, shape, torch.float64)
    twin, pairs = torch_twin(block, shape[2])
    expected, target = twin(x, src_mask=causal_mask(shape)), torch.randn_like(x)
    before = x.clone()
    close(block(x), expected)
    assert torch.equal(x, before)  # the input stays unchanged
    (block(x) * target).sum().backward()
    (expected * target).sum().backward()
    for ours, theirs in pairs:
        torch.testing.assert_close(ours.grad, theirs.grad)
    assert len(pairs) == len(list(block.parameters()))


def test_block_equals_the_toy_worked_by_hand():
    """Query, key and value are the token; the MLP asks the notebook's sixteen questions."""
    block = Block(configuration(2, 2))
    one = torch.eye(4)
    both = one + one.roll(1, dims=1)
    with torch.no_grad():
        for name, parameter in block.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
        block.attention.qkv.weight.copy_(one.repeat(3, 1))
        block.attention.projection.weight.copy_(one)
        block.mlp.expand.weight.copy_(torch.cat([one, -one, both, -both]))
        block.mlp.projection.weight.copy_(0.5 * one.repeat(1, 4))
    # 1·tanh(…) for ±1, and the same for ±2; half of each answer (section 3 of the notebook)
    size_1, size_2 = (
        x * math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)) for x in (1.0, 2.0)
    )
    thought = [size_1 / 2, (size_1 + size_2) / 2] * 2
    by_hand = [old + new for old, new in zip([2, -1, -1, 2], thought, strict=True)]
    assert block(TOY[None])[0, 0].tolist() == pytest.approx(by_hand, abs=1e-4)


# ---- dropout -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [CausalSelfAttention, MLP])
def test_dropout_acts_on_the_outputs_in_training_only(kind):
    layer, x = made(kind, SHAPES[1], dropout=0.5)
    assert 0.3 < (layer(x) == 0).float().mean() < 0.7
    layer.eval()
    assert torch.equal(layer(x), layer(x)) and (layer(x) != 0).all()


def test_dropout_acts_on_the_weights_of_attention_too():
    attention, x = made(CausalSelfAttention, SHAPES[1], dropout=0.5)
    attention.projection_dropout = nn.Identity()
    assert not torch.allclose(attention(x), attention(x), atol=1e-3)
