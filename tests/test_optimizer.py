"""AdamW: what decays, and that every parameter is there once."""

import pytest
import torch

from gptlib.config import GPTConfig, TrainingConfig
from gptlib.model import GPT
from gptlib.training.optimizer import make_optimizer, moments, restore_moments

TINY = GPTConfig(vocab_size=11, context_length=8, n_layers=2, n_heads=2, width=6, dropout=0.0)


def groups_of(model, **changes):
    optimizer = make_optimizer(model, TrainingConfig(**changes))
    return {group["weight_decay"]: group["param_names"] for group in optimizer.param_groups}


def test_every_parameter_stands_in_one_group_once():
    model = GPT(TINY)
    optimizer = make_optimizer(model, TrainingConfig())
    listed = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(listed) == sorted(id(p) for p in model.parameters())
    assert len(set(listed)) == len(listed)


def test_matrices_decay_and_biases_and_layernorm_do_not():
    groups = groups_of(GPT(TINY), weight_decay=0.3)
    assert all("ln_" in name or name.endswith("bias") for name in groups[0.0])
    assert not any("ln_" in name or name.endswith("bias") for name in groups[0.3])
    assert {"token_embedding.weight", "position_embedding.weight"} < set(groups[0.3])


def test_settings_take_effect():
    optimizer = make_optimizer(GPT(TINY), TrainingConfig(learning_rate=0.02, betas=(0.7, 0.8)))
    for group in optimizer.param_groups:
        assert (group["lr"], group["betas"]) == (0.02, (0.7, 0.8))


def test_one_step_equals_adamw_by_hand():
    layer = torch.nn.Linear(1, 1)
    layer.weight.data.fill_(2.0)
    layer.bias.data.fill_(2.0)
    config = TrainingConfig(learning_rate=0.1, min_learning_rate=0.0, weight_decay=0.5)
    optimizer = make_optimizer(layer, config)
    layer.weight.grad, layer.bias.grad = torch.tensor([[3.0]]), torch.tensor([-3.0])
    optimizer.step()
    # decay 2·(1 − 0.1·0.5) = 1.9; the first Adam step is the rate times the gradient's sign
    assert layer.weight.item() == pytest.approx(1.9 - 0.1, abs=1e-6)
    assert layer.bias.item() == pytest.approx(2.0 + 0.1, abs=1e-6)  # no decay


def test_moments_go_to_another_optimizer_by_name():
    torch.manual_seed(0)
    model, twin = GPT(TINY, seed=1), GPT(TINY, seed=1)
    first, second = (make_optimizer(m, TrainingConfig()) for m in (model, twin))
    ids = torch.randint(0, 11, (2, 8))
    for _ in range(3):
        model(ids).square().mean().backward()
        first.step()
    twin.load_state_dict(model.state_dict())
    restore_moments(second, {name: tensor.clone() for name, tensor in moments(first).items()})
    for m, optimizer in ((model, first), (twin, second)):
        optimizer.zero_grad()
        m(ids).square().mean().backward()
        optimizer.step()
    for mine, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(mine, other)
    assert "blocks.0.ln_1.weight.exp_avg" in moments(first)


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
