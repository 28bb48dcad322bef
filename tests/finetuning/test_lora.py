"""LoRA: nothing at the start, little to learn, and the same model after merging."""

import copy
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from gptlib.classification import GPTClassifier
from gptlib.errors import ConfigError, FolderError, PretrainedError
from gptlib.kv_cache import CachedGPT
from gptlib.lora import (
    CONFIG,
    TARGETS,
    WEIGHTS,
    LoRALinear,
    add_lora,
    load_lora,
    lora_layers,
    merge_lora,
    save_lora,
)


@pytest.fixture
def tuned(base):
    """The base with a LoRA that has learned something."""
    return learned(add_lora(copy.deepcopy(base), rank=4, alpha=8))


def learned(model):
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for layer in lora_layers(model).values():
            layer.lora_B.normal_(0, 0.1, generator=generator)
    return model


def test_one_layer_by_hand():
    linear = nn.Linear(2, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        linear.bias.copy_(torch.tensor([10.0, 20.0]))
        layer = LoRALinear(linear, rank=2, alpha=4)
        layer.lora_A.copy_(torch.tensor([[1.0, -1.0], [0.0, 0.0]]))
        layer.lora_B.copy_(torch.tensor([[5.0, 9.0], [7.0, 9.0]]))
    # x = (3, 1): W x + b = (15, 33); A x = (2, 0); B A x = (10, 14), times 4 / 2
    assert layer(torch.tensor([[3.0, 1.0]])).tolist() == [[35.0, 61.0]]
    # W + 2 · B A = [[1 + 10, 2 − 10], [3 + 14, 4 − 14]]
    assert layer.merged().weight.tolist() == [[11.0, -8.0], [17.0, -10.0]]


def test_r_8_beside_768_x_768_is_12_288_numbers():
    layer = LoRALinear(nn.Linear(768, 768, device="meta"), rank=8, alpha=16)
    assert layer.lora_A.numel() + layer.lora_B.numel() == 12_288


def test_it_starts_equal_to_the_base(base, ids):
    before = base(ids)
    add_lora(base)
    assert (base(ids) - before).abs().max() == 0.0
    assert not torch.equal(*[layer.lora_A[0] for layer in lora_layers(base).values()][::4])


@pytest.mark.parametrize("targets", [TARGETS, TARGETS[:1], TARGETS[2:3]])
def test_only_its_own_parameters_learn(base, ids, targets):
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    learned(add_lora(base, 4, 8, targets))
    optimizer = torch.optim.AdamW(base.parameters(), lr=0.1, weight_decay=0.5)
    base(ids[:, :-1], ids[:, 1:]).backward()
    optimizer.step()
    with_gradient = {name for name, p in base.named_parameters() if p.grad is not None}
    assert with_gradient == {
        f"blocks.{layer}.{target}.lora_{part}"
        for layer in (0, 1)
        for target in targets
        for part in "AB"
    }
    after = base.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-10)])
def test_merged_it_is_the_same_and_the_base_is_unchanged(base, ids, dtype, tolerance):
    base.to(dtype)
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    shared = base.state_dict()  # the base's own memory
    tuned = learned(add_lora(base, 4, 64))
    expected = tuned(ids)
    merged = merge_lora(tuned)
    assert type(merged.blocks[0].mlp.expand) is nn.Linear
    assert set(merged.state_dict()) == set(before)
    assert 0 < (merged(ids) - expected).abs().max() < tolerance
    assert all(torch.equal(shared[name], before[name]) for name in before)
    assert all(parameter.requires_grad for parameter in merged.parameters())


def test_with_a_cache_it_gives_the_same_logits(tuned, ids):
    with torch.no_grad():
        cached = CachedGPT(tuned)
        logits = cached.logits(cached.hidden_states(ids))
        torch.testing.assert_close(logits, tuned(ids))


def test_it_saves_only_its_own_tensors_and_comes_back(base, tuned, ids, tmp_path):
    save_lora(tmp_path / "lora", tuned)
    tensors = load_file(tmp_path / "lora" / WEIGHTS)
    assert sum(t.numel() for t in tensors.values()) == sum(
        p.numel() for p in tuned.parameters() if p.requires_grad
    )
    # PEFT's names and layout: A (r, in), B (out, r), whatever Conv1D does with its weight
    place = "base_model.model.transformer.h.1.attn.c_attn"
    assert tensors[f"{place}.lora_A.weight"].shape == (4, 16)
    assert tensors[f"{place}.lora_B.weight"].shape == (48, 4)
    config = json.loads((tmp_path / "lora" / CONFIG).read_text())
    assert config["target_modules"] == ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]
    assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", 4, 8)
    assert config["fan_in_fan_out"] is True
    back = load_lora(tmp_path / "lora", base)
    assert torch.equal(back(ids), tuned(ids))
    with pytest.raises(FolderError):
        save_lora(tmp_path / "lora", tuned)


def test_a_classifiers_head_learns_and_is_saved(base, ids, tmp_path):
    model = learned(add_lora(GPTClassifier(copy.deepcopy(base), ["a", "b"])))
    assert model.score.weight.requires_grad
    save_lora(tmp_path / "lora", model)
    assert json.loads((tmp_path / "lora" / CONFIG).read_text())["task_type"] == "SEQ_CLS"
    back = load_lora(tmp_path / "lora", GPTClassifier(base, ["a", "b"], seed=9))
    assert torch.equal(back(ids), model(ids))


class TestBad:
    def test_a_lora_of_another_model(self, base, tuned, ids, tmp_path):
        save_lora(tmp_path / "lora", tuned)
        before = base(ids)
        with torch.no_grad():
            base.ln_final.bias[3] += 1e-6
        with pytest.raises(PretrainedError, match="is the LoRA of another model: give the base"):
            load_lora(tmp_path / "lora", base)
        torch.testing.assert_close(base(ids), before)
        assert not lora_layers(base)

    def test_one_that_does_not_say_its_base_is_judged_by_its_shapes(self, base, tuned, tmp_path):
        save_lora(tmp_path / "lora", tuned)
        tensors = load_file(tmp_path / "lora" / WEIGHTS)
        name = next(iter(tensors))
        save_file({**tensors, name: torch.zeros(1)}, tmp_path / "lora" / WEIGHTS)
        with pytest.raises(PretrainedError, match=rf"{name} is \(1,\), of this model \("):
            load_lora(tmp_path / "lora", base)
        assert not lora_layers(base)

    def test_no_folder_and_no_safetensors(self, base, tuned, tmp_path):
        with pytest.raises(PretrainedError, match="holds no LoRA"):
            load_lora(tmp_path / "none", base)
        save_lora(tmp_path / "lora", tuned)
        (tmp_path / "lora" / WEIGHTS).write_bytes(b"no tensors")
        with pytest.raises(PretrainedError, match="holds no LoRA"):
            load_lora(tmp_path / "lora", base)

    @pytest.mark.parametrize(
        "settings",
        [{"rank": 0}, {"rank": 17}, {"alpha": 0}, {"targets": ("mlp",)}, {"targets": ()}],
    )
    def test_settings_out_of_range(self, base, settings):
        with pytest.raises(ConfigError, match=r"rank is|alpha is|targets are"):
            add_lora(base, **settings)
        assert all(parameter.requires_grad for parameter in base.parameters())

    def test_lora_twice_and_none_to_save(self, base, tmp_path):
        with pytest.raises(ConfigError, match="no LoRA to save"):
            save_lora(tmp_path / "lora", base)
        with pytest.raises(ConfigError, match="has LoRA already"):
            add_lora(add_lora(base))
