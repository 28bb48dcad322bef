"""Causal multi-head attention against PyTorch's own, and against numbers worked by hand.

Parameters are drawn with a spread of 0.3: at GPT-2's 0.02 a wrong axis hides below the tolerance.
B, T, H and D differ pairwise in every shape: two equal axes can be swapped unseen.
"""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from gptlib.attention import CausalSelfAttention, causal_weights, merge_heads, split_heads
from gptlib.config import GPTConfig

SHAPES = [(2, 5, 3, 4), (3, 7, 2, 5), (4, 3, 6, 2)]  # B, T, H, D
TOLERANCE = {"atol": 1e-5, "rtol": 0}
# The course's four tokens, `Every word looks back`: channels 1-2 are its first head.
TOY = torch.tensor([[1.0, 0, 0, 1], [0, 2, 1, 0], [2, 1, -1, 2], [1, -1, 2, 1]])

each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
sizes = st.tuples(*[st.integers(1, 6)] * 4)


def configuration(n_heads: int, head_width: int, **changes: object) -> GPTConfig:
    small = GPTConfig(
        vocab_size=11, context_length=16, n_layers=1, n_heads=n_heads, width=n_heads * head_width
    )
    return dataclasses.replace(small, **{"dropout": 0.0, **changes})


def attention_and_input(shape: tuple, **changes: object) -> tuple[CausalSelfAttention, Tensor]:
    """A layer whose parameters all have a spread of 0.3, and an input for it."""
    B, T, H, D = shape
    torch.manual_seed(B * T)
    attention = CausalSelfAttention(configuration(H, D, **changes))
    for parameter in attention.parameters():
        nn.init.normal_(parameter, std=0.3)
    return attention, torch.randn(B, T, H * D)


def queries_and_keys(shape: tuple) -> tuple[Tensor, Tensor]:
    torch.manual_seed(sum(shape))
    B, T, H, D = shape
    return torch.randn(B, H, T, D), torch.randn(B, H, T, D)


# ---- heads -------------------------------------------------------------------------------------


@given(sizes)
def test_split_gives_each_head_its_own_channels(shape):
    B, T, H, D = shape
    x = torch.arange(B * T * H * D).view(B, T, H * D)
    expected = torch.stack(x.split(D, dim=-1), dim=1)  # (B, H, T, D)
    assert torch.equal(split_heads(x, H), expected)


@given(sizes)
def test_merge_lays_the_heads_side_by_side(shape):
    B, T, H, D = shape
    y = torch.arange(B * H * T * D).view(B, H, T, D)
    assert torch.equal(merge_heads(y), torch.cat(y.unbind(1), dim=-1))


@given(sizes)
def test_merge_undoes_split(shape):
    B, T, H, D = shape
    x = torch.arange(B * T * H * D).view(B, T, H * D)
    assert torch.equal(merge_heads(split_heads(x, H)), x)


@each_shape
def test_heads_are_split_and_merged_whatever_the_memory_layout(shape):
    B, T, H, D = shape
    x = torch.randn(H * D, T, B).transpose(0, 2)  # (B, T, C), not contiguous
    assert torch.equal(split_heads(x, H), split_heads(x.contiguous(), H))
    assert torch.equal(merge_heads(split_heads(x, H).contiguous()), x)


# ---- weights -----------------------------------------------------------------------------------


@each_shape
def test_weights_equal_torchs(shape):
    query, key = queries_and_keys(shape)
    identity = torch.eye(shape[1]).expand(shape[0], shape[2], -1, -1)
    # values that are the identity hand the weights themselves over
    expected = F.scaled_dot_product_attention(query, key, identity, is_causal=True)
    torch.testing.assert_close(causal_weights(query, key), expected, **TOLERANCE)


@each_shape
def test_every_row_of_weights_sums_to_one_and_stops_at_its_own_position(shape):
    weights = causal_weights(*queries_and_keys(shape))
    T = shape[1]
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:3]), **TOLERANCE)
    for i in range(T):
        assert (weights[:, :, i, i + 1 :] == 0).all()
        assert (weights[:, :, i, : i + 1] > 0).all()


def test_weights_of_back_equal_the_numbers_worked_by_hand():
    first_head = TOY[None, None, :, :2]
    weights = causal_weights(first_head, first_head)[0, 0]
    powers = [math.exp(score / math.sqrt(2)) for score in (1, -2, 1, 2)]
    expected = torch.tensor([power / sum(powers) for power in powers])
    torch.testing.assert_close(weights[3], expected, **TOLERANCE)
    assert [round(weight, 3) for weight in weights[3].tolist()] == [0.241, 0.029, 0.241, 0.489]


def test_huge_scores_stay_finite_and_open_no_future():
    query, key = queries_and_keys(SHAPES[0])
    weights = causal_weights(1e4 * query, 1e4 * key)
    assert weights.isfinite().all()
    assert (weights.triu(1) == 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:3]), **TOLERANCE)


def test_weights_follow_the_device_and_dtype_of_the_query():
    query, key = (tensor.double() for tensor in queries_and_keys(SHAPES[0]))
    assert causal_weights(query, key).dtype == torch.float64
    assert causal_weights(query.to("meta"), key.to("meta")).device.type == "meta"


# ---- the layer ---------------------------------------------------------------------------------


@each_shape
@pytest.mark.parametrize("qkv_bias", [True, False])
def test_layer_equals_torchs_multihead_attention(shape, qkv_bias):
    attention, x = attention_and_input(shape, qkv_bias=qkv_bias)
    _, T, H, D = shape
    theirs = nn.MultiheadAttention(H * D, H, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(attention.qkv.weight)
        theirs.in_proj_bias.zero_()
        if qkv_bias:
            theirs.in_proj_bias.copy_(attention.qkv.bias)
        theirs.out_proj.weight.copy_(attention.projection.weight)
        theirs.out_proj.bias.copy_(attention.projection.bias)
    future = torch.ones(T, T, dtype=torch.bool).triu(1)
    expected, _ = theirs(x, x, x, attn_mask=future, need_weights=False)
    torch.testing.assert_close(attention(x), expected, **TOLERANCE)


@each_shape
def test_layer_equals_the_functions_that_explain_it(shape):
    attention, x = attention_and_input(shape)
    query, key, value = (split_heads(part, shape[2]) for part in attention.qkv(x).chunk(3, dim=-1))
    expected = attention.projection(merge_heads(causal_weights(query, key) @ value))
    torch.testing.assert_close(attention(x), expected, **TOLERANCE)


def test_layer_equals_the_toy_worked_head_by_head():
    attention = CausalSelfAttention(configuration(2, 2))
    with torch.no_grad():
        attention.qkv.weight.copy_(torch.eye(4).repeat(3, 1))  # query = key = value = x
        attention.projection.weight.copy_(torch.eye(4))
        attention.qkv.bias.zero_()
        attention.projection.bias.zero_()
    back = attention(TOY[None])[0, 3]
    expected = torch.tensor([1.2122, -0.1901, 1.7306, 0.9249])
    torch.testing.assert_close(back, expected, atol=5e-5, rtol=0)


@each_shape
def test_future_tokens_cannot_change_the_past(shape):
    attention, x = attention_and_input(shape)
    before = attention(x)
    B, T, _, _ = shape
    for row in range(B):
        for position in range(T):
            edited = x.clone()
            edited[row, position] += 1
            moved = (attention(edited) - before).abs().amax(dim=-1)  # (B, T)
            assert (moved[row, :position] == 0).all(), "an earlier position saw the edit"
            assert (moved[row, position:] > 1e-6).all(), "a later position missed the edit"
            moved[row] = 0
            assert (moved == 0).all(), "another sequence saw the edit"


@each_shape
def test_outputs_of_a_prefix_are_those_of_the_whole(shape):
    attention, x = attention_and_input(shape)
    whole = attention(x)
    for length in range(1, shape[1] + 1):
        torch.testing.assert_close(attention(x[:, :length]), whole[:, :length], **TOLERANCE)


@each_shape
def test_order_of_the_past_is_invisible_to_one_layer(shape):
    attention, x = attention_and_input(shape)
    swapped = x.clone()
    swapped[:, 0], swapped[:, 1] = x[:, 1], x[:, 0]
    torch.testing.assert_close(attention(swapped)[:, 2:], attention(x)[:, 2:], **TOLERANCE)
    assert not torch.allclose(attention(swapped)[:, :2], attention(x)[:, :2], atol=1e-3)


@each_shape
def test_inputs_stay_unchanged(shape):
    attention, x = attention_and_input(shape)
    query, key = queries_and_keys(shape)
    originals = [tensor.clone() for tensor in (x, query, key)]
    attention(x)
    causal_weights(query, key)
    merge_heads(split_heads(x, shape[2]))
    for tensor, original in zip((x, query, key), originals, strict=True):
        assert torch.equal(tensor, original)


@each_shape
def test_gradient_reaches_every_parameter(shape):
    attention, x = attention_and_input(shape)
    attention(x).square().sum().backward()
    query_bias, key_bias, value_bias = attention.qkv.bias.grad.chunk(3)
    # a key's bias adds the same to every score of a row, and softmax ignores that
    torch.testing.assert_close(key_bias, torch.zeros_like(key_bias), atol=1e-3, rtol=0)
    for gradient in (query_bias, value_bias, attention.projection.bias.grad):
        assert (gradient.abs() > 1e-4).all()
    for gradient in (*attention.qkv.weight.grad.chunk(3), attention.projection.weight.grad):
        assert (gradient.abs() > 1e-6).all()


def test_gradients_equal_those_of_the_functions_that_explain_it():
    attention, x = attention_and_input(SHAPES[0])
    attention(x).square().sum().backward()
    fused = {name: parameter.grad.clone() for name, parameter in attention.named_parameters()}
    attention.zero_grad()
    query, key, value = (split_heads(part, 3) for part in attention.qkv(x).chunk(3, dim=-1))
    y = attention.projection(merge_heads(causal_weights(query, key) @ value))
    y.square().sum().backward()
    for name, parameter in attention.named_parameters():
        torch.testing.assert_close(fused[name], parameter.grad, atol=1e-3, rtol=1e-4)


# ---- settings ----------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.sampled_from([1, 2, 3, 4, 6, 12]), st.booleans())
def test_heads_do_not_add_parameters(n_heads, qkv_bias):
    attention = CausalSelfAttention(configuration(n_heads, 12 // n_heads, qkv_bias=qkv_bias))
    C = 12
    n_parameters = sum(parameter.numel() for parameter in attention.parameters())
    assert n_parameters == 4 * C * C + (4 if qkv_bias else 1) * C


def test_dropout_acts_in_training_only():
    attention, x = attention_and_input(SHAPES[1], dropout=0.5)
    plain, _ = attention_and_input(SHAPES[1])
    attention.eval()
    torch.testing.assert_close(attention(x), plain(x), **TOLERANCE)
    attention.train()
    zeros = (attention(x) == 0).float().mean()
    assert 0.3 < zeros < 0.7


def test_dropout_acts_on_the_weights_too():
    attention, x = attention_and_input(SHAPES[1], dropout=0.5)
    attention.projection_dropout = nn.Identity()
    attention.train()
    torch.manual_seed(1)
    first = attention(x)
    assert not torch.allclose(first, attention(x), atol=1e-3)
