"""Clipping, schedule and AdamW: each equals a number worked out another way."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx
from torch import nn

from gptlib.config import GPTConfig, TrainingConfig
from gptlib.errors import TrainingDiverged
from gptlib.model import GPT
from gptlib.training import (
    clip_gradients,
    gradient_norm,
    gradient_norm_by_layer,
    learning_rate_at,
    make_optimizer,
    moments,
    restore_moments,
)

TINY = GPTConfig(vocab_size=11, context_length=8, n_layers=2, n_heads=2, width=6, dropout=0.0)
IDS = torch.randint(0, 11, (2, 9), generator=torch.Generator().manual_seed(0))


def equal(model, twin):
    pairs = zip(model.parameters(), twin.parameters(), strict=True)
    return all(torch.equal(mine, other) for mine, other in pairs)


# AdamW


def test_every_parameter_stands_in_one_group_once_and_only_matrices_decay():
    model = GPT(TINY)
    optimizer = make_optimizer(model, TrainingConfig(weight_decay=0.3))
    listed = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(listed) == sorted(id(p) for p in model.parameters())
    groups = {group["weight_decay"]: group["param_names"] for group in optimizer.param_groups}
    assert all("ln_" in name or name.endswith("bias") for name in groups[0.0])
    assert not any("ln_" in name or name.endswith("bias") for name in groups[0.3])
    assert {"token_embedding.weight", "position_embedding.weight"} < set(groups[0.3])


MODULES = {
    "matrix": (nn.Linear(3, 2, bias=False), [0.1]),
    "table": (nn.Embedding(3, 2), [0.1]),
    "vectors": (nn.LayerNorm(3), [0.0]),
    "both": (nn.Linear(3, 2), [0.1, 0.0]),
}


@pytest.mark.parametrize(("module", "decays"), MODULES.values(), ids=MODULES)
def test_any_module_has_an_optimizer_without_empty_groups(module, decays):
    optimizer = make_optimizer(module, TrainingConfig())
    assert [group["weight_decay"] for group in optimizer.param_groups] == decays
    module.zero_grad()
    module(torch.ones(3).long() if isinstance(module, nn.Embedding) else torch.ones(3)).sum()
    optimizer.step()
    restore_moments(optimizer, moments(optimizer))


def test_settings_take_effect():
    optimizer = make_optimizer(GPT(TINY), TrainingConfig(learning_rate=0.02, betas=(0.7, 0.8)))
    for group in optimizer.param_groups:
        assert (group["lr"], group["betas"]) == (0.02, (0.7, 0.8))


def test_one_step_equals_adamw_by_hand():
    layer = nn.Linear(1, 1)
    layer.weight.data.fill_(2.0)
    layer.bias.data.fill_(2.0)
    config = TrainingConfig(learning_rate=0.1, min_learning_rate=0.0, weight_decay=0.5)
    optimizer = make_optimizer(layer, config)
    layer.weight.grad, layer.bias.grad = torch.tensor([[3.0]]), torch.tensor([-3.0])
    optimizer.step()
    # decay 2·(1 − 0.1·0.5) = 1.9; the first Adam step is the rate times the gradient's sign
    assert layer.weight.item() == approx(1.9 - 0.1, abs=1e-6)
    assert layer.bias.item() == approx(2.0 + 0.1, abs=1e-6)  # no decay


def test_moments_go_to_another_optimizer_by_name():
    model, twin = GPT(TINY, seed=1), GPT(TINY, seed=1)
    first, second = (make_optimizer(m, TrainingConfig()) for m in (model, twin))
    x, y = IDS[:, :-1], IDS[:, 1:]
    for _ in range(3):
        model(x, y).backward()
        first.step()
    twin.load_state_dict(model.state_dict())
    restore_moments(second, {name: tensor.clone() for name, tensor in moments(first).items()})
    for m, optimizer in ((model, first), (twin, second)):
        optimizer.zero_grad()
        m(x, y).backward()
        optimizer.step()
    assert equal(model, twin) and "blocks.0.ln_1.weight.exp_avg" in moments(first)


@pytest.mark.parametrize(("device", "fused"), [("cpu", True), ("meta", False)])
def test_fused_where_the_device_has_it_and_never_assumed(device, fused):
    with torch.device(device):
        model = GPT(TINY)
    assert make_optimizer(model, TrainingConfig()).defaults["fused"] is fused


def test_fused_equals_plain_adamw():
    model, twin = GPT(TINY, seed=1), GPT(TINY, seed=1)
    optimizer = make_optimizer(model, TrainingConfig(weight_decay=0.3))
    groups = [
        {"params": [p for p in twin.parameters() if p.dim() >= 2], "weight_decay": 0.3},
        {"params": [p for p in twin.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    plain = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), fused=False, foreach=False)
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        for mine, other in zip(model.parameters(), twin.parameters(), strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator)
            other.grad = mine.grad.clone()
        optimizer.step()
        plain.step()
    for mine, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-7)


# The learning rate


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 6e-5), (9, 6e-4), (10, 6e-4), (2005, 3.3e-4), (4000, 6e-5), (9999, 6e-5)]
)
def test_the_darija_run_of_4000_steps(step, rate):
    assert learning_rate_at(step, 6e-4, 6e-5, 10, 4000) == approx(rate, rel=1e-9)


def test_without_warmup_it_starts_at_the_peak_and_can_stay_there():
    assert learning_rate_at(0, 1.0, 0.1, 0, 100) == 1.0
    assert {learning_rate_at(step, 0.5, 0.5, 0, 10) for step in range(20)} == {0.5}


def test_it_equals_torch_own_cosine():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50, eta_min=0.1)
    for step in range(51):
        assert learning_rate_at(step, 1.0, 0.1, 0, 50) == approx(cosine.get_last_lr()[0])
        optimizer.step()
        cosine.step()


@given(
    st.floats(1e-6, 10),
    st.floats(0, 1),
    st.integers(0, 50),
    st.integers(1, 200),
    st.integers(0, 300),
)
def test_it_rises_then_falls_and_is_never_zero(peak, share, warmup_steps, total_steps, step):
    floor = share * peak
    rate = learning_rate_at(step, peak, floor, warmup_steps, total_steps)
    after = learning_rate_at(step + 1, peak, floor, warmup_steps, total_steps)
    assert 0 <= rate <= peak * (1 + 1e-12)
    assert step >= total_steps or rate > 0
    if step + 1 < warmup_steps:
        assert after > rate
    elif step >= warmup_steps:
        assert after <= rate * (1 + 1e-12)


# Clipping


def gradients(*values):
    """A module whose parameters have these gradients."""
    module = nn.ParameterList([torch.zeros(len(v)) for v in values])
    for parameter, value in zip(module, values, strict=True):
        parameter.grad = torch.tensor(value)
    return module


def test_the_norm_of_3_and_4_is_5():
    module = gradients([3.0, 0.0, 0.0], [0.0, 4.0])
    assert gradient_norm(module).item() == 5
    assert clip_gradients(module, 1.0) == (5, 1)
    assert module[0].grad.tolist() == approx([0.6, 0, 0])
    assert module[1].grad.tolist() == approx([0, 0.8])


def test_a_short_gradient_is_left_alone_and_none_has_the_norm_0():
    module = gradients([0.3], [0.4])
    module.append(nn.Parameter(torch.zeros(2)))  # without a gradient
    assert clip_gradients(module, 1.0) == approx((0.5, 0.5))
    assert module[0].grad.tolist() == approx([0.3])
    module.zero_grad()
    assert gradient_norm(module).item() == 0 and clip_gradients(module, 1.0) == (0, 0)
    assert gradient_norm_by_layer(module) == {}


def test_clipping_equals_torch_own_and_the_layers_make_up_the_whole():
    model, twin = GPT(TINY, seed=4), GPT(TINY, seed=4)
    for m in (model, twin):
        m(IDS[:, :-1], IDS[:, 1:]).backward()
    layers = gradient_norm_by_layer(model)
    assert list(layers) == ["embeddings", "block 1", "block 2", "final LayerNorm"]
    assert math.hypot(*layers.values()) == approx(gradient_norm(model).item(), rel=1e-5)
    before, after = clip_gradients(model, 0.01)
    assert before == approx(nn.utils.clip_grad_norm_(twin.parameters(), 0.01).item())
    assert gradient_norm(model).item() == approx(after, rel=1e-5) == 0.01
    assert gradient_norm_by_layer(model, before / after) == approx(layers, rel=1e-4)
    for mine, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(mine.grad, other.grad, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_gradient_that_is_not_finite_is_named_and_nothing_changes(bad):
    module = gradients([3.0], [bad, 1.0])
    with pytest.raises(TrainingDiverged, match="gradient of 1 is not finite"):
        clip_gradients(module, 1.0)
    assert module[0].grad.tolist() == [3.0]


def test_an_overflowing_sum_is_not_blamed_on_one_parameter():
    with pytest.raises(TrainingDiverged, match="all parameters together"):
        clip_gradients(gradients([3e38], [3e38]), 1.0)
