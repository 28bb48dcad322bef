"""LayerNorm, GELU, MLP and Block against PyTorch's own, and against numbers worked by hand.

Parameters are drawn with a spread of 0.3: at GPT-2's start (scale 1, shift 0, weights of 0.02) a
forgotten parameter or a wrong order hides. B, T, H and D differ pairwise in every shape.
"""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from gptlib.block import MLP, Block, LayerNorm, gelu, layer_norm
from gptlib.config import GPTConfig

SHAPES = [(2, 5, 3, 4), (3, 7, 2, 5), (4, 3, 6, 2)]  # B, T, H, D
TOLERANCE = {"atol": 1e-5, "rtol": 0}
EPSILON = 1e-5
# The course's four tokens, `Every word looks back`.
TOY = torch.tensor([[1.0, 0, 0, 1], [0, 2, 1, 0], [2, 1, -1, 2], [1, -1, 2, 1]])

each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


@pytest.fixture(autouse=True)
def same_numbers_in_any_order_of_tests() -> None:
    torch.manual_seed(0)


def configuration(shape: tuple, **changes: object) -> GPTConfig:
    _, _, H, D = shape
    small = GPTConfig(vocab_size=11, context_length=16, n_layers=1, n_heads=H, width=H * D)
    return dataclasses.replace(small, **{"dropout": 0.0, **changes})


def spread_out(module: nn.Module) -> nn.Module:
    """Draw every parameter with a spread of 0.3, LayerNorm's too."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module


def input_for(shape: tuple) -> Tensor:
    B, T, H, D = shape
    torch.manual_seed(B * T)
    return 3 * torch.randn(B, T, H * D) + 1  # neither centred nor of size 1


def scale_and_shift(width: int) -> tuple[Tensor, Tensor]:
    return 0.3 * torch.randn(width), 0.3 * torch.randn(width)


# ---- LayerNorm ---------------------------------------------------------------------------------


@each_shape
def test_layer_norm_equals_torchs(shape):
    x = input_for(shape)
    weight, bias = scale_and_shift(x.shape[-1])
    expected = F.layer_norm(x, weight.shape, weight, bias, EPSILON)
    torch.testing.assert_close(layer_norm(x, weight, bias, EPSILON), expected, **TOLERANCE)


@pytest.mark.parametrize("epsilon", [1e-5, 1e-2])
@pytest.mark.parametrize("size", [1e-1, 1e-2, 1e-3, 1e-5])
def test_layer_norm_of_tiny_variance_adds_epsilon_to_the_variance(size, epsilon):
    x = size * input_for(SHAPES[0])
    weight, bias = scale_and_shift(x.shape[-1])
    expected = F.layer_norm(x, weight.shape, weight, bias, epsilon)
    torch.testing.assert_close(layer_norm(x, weight, bias, epsilon), expected, **TOLERANCE)


def test_layer_norm_of_a_constant_row_is_the_shift():
    weight, bias = scale_and_shift(4)
    x = torch.tensor([[3.0, 3, 3, 3], [0, 0, 0, 0], [1, 0, 0, 1]])
    y = layer_norm(x, weight, bias, EPSILON)
    assert torch.equal(y[0], bias)
    assert torch.equal(y[1], bias)
    assert not torch.allclose(y[2], bias)


def test_layer_norm_of_every_equals_the_numbers_worked_by_hand():
    y = layer_norm(TOY, torch.ones(4), torch.zeros(4), 0.0)
    assert y[0].tolist() == [1, -1, -1, 1]


@settings(deadline=None)
@given(st.lists(st.integers(1, 4), max_size=3), st.integers(2, 6))
def test_layer_norm_treats_every_position_alone(axes, width):
    x = torch.arange(math.prod(axes) * width).view(*axes, width).float().sin()
    weight, bias = torch.linspace(-1, 2, width), torch.linspace(0.5, 1, width)
    rows = [layer_norm(row, weight, bias, EPSILON) for row in x.reshape(-1, width)]
    expected = torch.stack(rows).view(x.shape)
    torch.testing.assert_close(layer_norm(x, weight, bias, EPSILON), expected, **TOLERANCE)


@pytest.mark.parametrize("epsilon", [1e-5, 1e-1])
@each_shape
def test_layer_norm_class_equals_the_function_that_explains_it(shape, epsilon):
    x = input_for(shape)
    ln = spread_out(LayerNorm(x.shape[-1], epsilon))
    expected = layer_norm(x, ln.weight, ln.bias, epsilon)
    torch.testing.assert_close(ln(x), expected, **TOLERANCE)


def test_layer_norm_class_starts_as_the_plain_normalisation():
    ln = LayerNorm(6)
    assert torch.equal(ln.weight, torch.ones(6))
    assert torch.equal(ln.bias, torch.zeros(6))
    assert ln.epsilon == EPSILON


# ---- GELU --------------------------------------------------------------------------------------


@each_shape
def test_gelu_equals_torchs_tanh_form(shape):
    x = input_for(shape)
    torch.testing.assert_close(gelu(x), F.gelu(x, approximate="tanh"), **TOLERANCE)


def test_gelu_is_the_tanh_form_and_not_the_exact_one():
    grid = torch.linspace(-6, 6, 12_001, dtype=torch.float64)
    torch.testing.assert_close(gelu(grid), F.gelu(grid, approximate="tanh"), atol=1e-12, rtol=0)
    gap = (gelu(grid) - F.gelu(grid)).abs()
    assert 4e-4 < gap.max() < 5e-4
    assert grid[gap.argmax()].abs().item() == pytest.approx(2.7, abs=0.05)


def test_gelu_has_the_lowest_point_that_the_notebook_names():
    grid = torch.linspace(-3, 3, 6_001, dtype=torch.float64)
    values = gelu(grid)
    assert values.min().item() == pytest.approx(-0.170, abs=5e-4)
    assert grid[values.argmin()].item() == pytest.approx(-0.752, abs=2e-3)
    assert gelu(torch.tensor(-1.0)).item() == pytest.approx(-0.1588, abs=1e-4)


def test_gelu_closes_and_opens_without_overflow():
    y = gelu(torch.tensor([-1e4, -100.0, 0.0, 100.0, 1e4]))
    torch.testing.assert_close(y, torch.tensor([0.0, 0.0, 0.0, 100.0, 1e4]), **TOLERANCE)


# ---- MLP ---------------------------------------------------------------------------------------


@each_shape
def test_mlp_equals_its_formula(shape):
    x = input_for(shape)
    mlp = spread_out(MLP(configuration(shape)))
    hidden = F.gelu(F.linear(x, mlp.expand.weight, mlp.expand.bias), approximate="tanh")
    expected = F.linear(hidden, mlp.projection.weight, mlp.projection.bias)
    torch.testing.assert_close(mlp(x), expected, **TOLERANCE)


@each_shape
def test_mlp_is_four_times_as_wide_inside(shape):
    C = shape[2] * shape[3]
    mlp = MLP(configuration(shape))
    assert mlp.expand.weight.shape == (4 * C, C)
    assert mlp.projection.weight.shape == (C, 4 * C)


@each_shape
def test_mlp_moves_nothing_between_positions(shape):
    x = input_for(shape)
    mlp = spread_out(MLP(configuration(shape)))
    edited = x.clone()
    edited[0, 1, 0] += 1
    moved = (mlp(edited) - mlp(x)).abs().amax(dim=-1) > 1e-6  # (B, T)
    assert moved[0, 1]
    assert moved.sum() == 1


# ---- Block -------------------------------------------------------------------------------------


def torch_twin(block: Block, shape: tuple) -> nn.TransformerEncoderLayer:
    """PyTorch's own pre-LN block with the same parameters."""
    _, _, H, D = shape
    twin = nn.TransformerEncoderLayer(
        d_model=H * D,
        nhead=H,
        dim_feedforward=4 * H * D,
        dropout=0.0,
        activation=nn.GELU(approximate="tanh"),
        layer_norm_eps=EPSILON,
        batch_first=True,
        norm_first=True,
    )
    pairs = [
        (twin.self_attn.out_proj, block.attention.projection),
        (twin.linear1, block.mlp.expand),
        (twin.linear2, block.mlp.projection),
        (twin.norm1, block.ln_1),
        (twin.norm2, block.ln_2),
    ]
    with torch.no_grad():
        twin.self_attn.in_proj_weight.copy_(block.attention.qkv.weight)
        twin.self_attn.in_proj_bias.copy_(block.attention.qkv.bias)
        for theirs, ours in pairs:
            theirs.weight.copy_(ours.weight)
            theirs.bias.copy_(ours.bias)
    return twin


@each_shape
def test_block_equals_torchs_pre_ln_layer(shape):
    x = input_for(shape)
    block = spread_out(Block(configuration(shape)))
    future = torch.ones(shape[1], shape[1], dtype=torch.bool).triu(1)
    expected = torch_twin(block, shape)(x, src_mask=future)
    torch.testing.assert_close(block(x), expected, **TOLERANCE)


def test_block_equals_the_toy_worked_by_hand():
    """Query, key and value are the token; the MLP asks the notebook's sixteen questions."""
    block = Block(configuration((1, 4, 2, 2)))
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
    every = block(TOY[None])[0, 0].tolist()
    # 1·tanh(…) for ±1, and the same for ±2; half of each answer (section 3 of the notebook)
    size_1, size_2 = (
        x * math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)) for x in (1.0, 2.0)
    )
    thought = [size_1 / 2, (size_1 + size_2) / 2] * 2
    by_hand = [old + new for old, new in zip([2, -1, -1, 2], thought, strict=True)]
    assert every == pytest.approx(by_hand, abs=1e-4)


class Recorded(nn.Module):
    """A stand-in for a part: keeps what it was given and answers `factor` times that, plus 1."""

    def __init__(self, name: str, factor: float, calls: list) -> None:
        super().__init__()
        self.name, self.factor, self.calls = name, factor, calls

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append((self.name, x.clone()))
        return self.factor * x + 1


def test_block_calls_its_parts_in_order_each_on_what_it_should_read():
    calls: list[tuple[str, Tensor]] = []
    block = Block(configuration(SHAPES[0]))
    for name, factor in (("ln_1", 2.0), ("attention", 3.0), ("ln_2", 5.0), ("mlp", 7.0)):
        setattr(block, name, Recorded(name, factor, calls))
    out = block(torch.ones(1, 1, 1)).item()
    # x = 1; ln_1 3; attention 10; stream 11; ln_2 56; mlp 393; stream 404
    assert [(name, x.item()) for name, x in calls] == [
        ("ln_1", 1),
        ("attention", 3),
        ("ln_2", 11),
        ("mlp", 56),
    ]
    assert out == 404


@each_shape
def test_future_tokens_cannot_change_the_past(shape):
    x = input_for(shape)
    block = spread_out(Block(configuration(shape)))
    before = block(x)
    B, T, _, _ = shape
    for row in range(B):
        for position in range(T):
            edited = x.clone()
            edited[row, position, 0] += 5
            moved = (block(edited) - before).abs().amax(dim=-1)  # (B, T)
            assert (moved[row, :position] == 0).all(), "an earlier position saw the edit"
            assert (moved[row, position:] > 1e-6).all(), "a later position missed the edit"
            moved[row] = 0
            assert (moved == 0).all(), "another sequence saw the edit"


@each_shape
def test_inputs_stay_unchanged(shape):
    x = input_for(shape)
    weight, bias = scale_and_shift(x.shape[-1])
    originals = [tensor.clone() for tensor in (x, weight, bias)]
    layer_norm(x, weight, bias, EPSILON)
    LayerNorm(x.shape[-1])(x)
    gelu(x)
    MLP(configuration(shape))(x)
    spread_out(Block(configuration(shape)))(x)
    for tensor, original in zip((x, weight, bias), originals, strict=True):
        assert torch.equal(tensor, original)


@each_shape
def test_gradient_reaches_every_parameter(shape):
    block = spread_out(Block(configuration(shape)))
    x = input_for(shape)
    target = torch.randn_like(x)
    (block(x) * target).sum().backward()
    C = x.shape[-1]
    for name, parameter in block.named_parameters():
        gradient = parameter.grad.clone()
        if name == "attention.qkv.bias":
            gradient = torch.cat([gradient[:C], gradient[2 * C :]])  # softmax ignores a key's bias
        assert (gradient.abs() > 1e-7).all(), name


@each_shape
def test_gradients_equal_those_of_torchs_layer(shape):
    block = spread_out(Block(configuration(shape))).double()
    twin = torch_twin(block, shape).double()
    x, target = input_for(shape).double(), torch.randn(1).double()
    future = torch.ones(shape[1], shape[1], dtype=torch.bool).triu(1)
    (block(x) * target).square().sum().backward()
    (twin(x, src_mask=future) * target).square().sum().backward()
    pairs = [
        (block.ln_1.weight, twin.norm1.weight),
        (block.ln_2.bias, twin.norm2.bias),
        (block.attention.qkv.weight, twin.self_attn.in_proj_weight),
        (block.mlp.expand.weight, twin.linear1.weight),
        (block.mlp.projection.bias, twin.linear2.bias),
    ]
    for ours, theirs in pairs:
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-4)


# ---- settings ----------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [4, 64, 768])
def test_block_holds_12_C_squared_plus_13_C_parameters(width):
    with torch.device("meta"):
        block = Block(GPTConfig(width=width, n_heads=2))
    assert sum(parameter.numel() for parameter in block.parameters()) == 12 * width**2 + 13 * width


def test_epsilon_of_the_configuration_reaches_both_layer_norms():
    block = Block(configuration(SHAPES[0], layer_norm_epsilon=0.5))
    assert block.ln_1.epsilon == block.ln_2.epsilon == 0.5


def test_dropout_acts_in_training_only():
    mlp = spread_out(MLP(configuration(SHAPES[1], dropout=0.5)))
    x = input_for(SHAPES[1])
    mlp.eval()
    assert torch.equal(mlp(x), mlp(x))
    assert (mlp(x) != 0).all()
    mlp.train()
    zeros = (mlp(x) == 0).float().mean()
    assert 0.3 < zeros < 0.7
