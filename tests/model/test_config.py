"""The two records of settings: the family's shapes, and values that cannot work are named."""

import json
import math
from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from gptlib.config import MODELS, SIZES, GPTConfig, TrainingConfig, padded_size
from gptlib.errors import ConfigError, GPTLibError
from gptlib.model import GPT
from gptlib.training.step import training_step

FAMILY = {  # Radford et al. 2019, table 2: layers, heads, width
    "gpt2": (12, 12, 768),
    "gpt2-medium": (24, 16, 1024),
    "gpt2-large": (36, 20, 1280),
    "gpt2-xl": (48, 25, 1600),
}


@pytest.mark.parametrize("name", FAMILY)
def test_the_family_has_the_papers_shapes(name):
    config = GPTConfig.named(name)
    assert (config.n_layers, config.n_heads, config.width) == FAMILY[name]
    assert (config.vocab_size, config.context_length) == (50_257, 1_024)
    assert config.head_width == 64
    assert config.qkv_bias and config.dropout == 0.1 and config.layer_norm_epsilon == 1e-5


def test_a_size_names_the_same_model():
    assert dict(zip(SIZES, FAMILY, strict=True)) == SIZES
    for size, name in SIZES.items():
        assert GPTConfig.named(size) == GPTConfig.named(name) == MODELS[name]
    assert GPTConfig() == GPTConfig.named("gpt2")


# Layers, heads, width, context and rows of the table of the projects that this course replaces.
REPLACED = {
    "algerian": (12, 12, 768, 512, 10_240),
    "gpt2_original": (12, 12, 768, 1_024, 50_257),
    "small": (6, 6, 384, 256, 50_257),
    "medium": (8, 8, 512, 512, 50_257),
    "tiny": (4, 4, 128, 128, 50_257),
}


@pytest.mark.parametrize("name", REPLACED)
def test_the_models_of_the_replaced_projects_take_a_training_step(name):
    config = GPTConfig.named(name)
    shape = (config.n_layers, config.n_heads, config.width, config.context_length)
    rows = padded_size(config.vocab_size, config.vocab_multiple)
    assert (*shape, rows) == REPLACED[name]
    model = GPT(replace(config, n_layers=1, vocab_size=50), seed=0)
    before = [parameter.clone() for parameter in model.parameters()]
    ids = torch.arange(18).view(2, 9)
    optimizer = torch.optim.AdamW(model.parameters())
    row = training_step(model, optimizer, [(ids[:, :-1], ids[:, 1:])], 1e-3, 1.0)
    assert row["loss"] == pytest.approx(math.log(50), abs=0.5)
    assert all((a != b).any() for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GPTConfig.named("gpt3"), "unknown model 'gpt3': known names are gpt2, "),
        (lambda: GPTConfig.named("gpt2", n_layer=2), "unknown GPTConfig key 'n_layer'"),
        (lambda: GPTConfig.from_dict({"n_embd": 8}), "unknown GPTConfig key 'n_embd'.*width"),
        (lambda: TrainingConfig.from_dict({"lr": 1}), "unknown TrainingConfig key 'lr'"),
    ],
)
def test_unknown_names_and_keys_are_errors_that_list_the_known(make, message):
    with pytest.raises(ConfigError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, GPTLibError) and isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (GPTConfig, {"width": 770}, "width 770 does not split into 12 equal heads"),
        (GPTConfig, {"n_heads": 5}, "width 768 does not split into 5 equal heads"),
        (GPTConfig, {"vocab_size": 0}, "vocab_size is 0"),
        (GPTConfig, {"context_length": -1}, "context_length is -1"),
        (GPTConfig, {"n_layers": 0}, "n_layers is 0"),
        (GPTConfig, {"n_heads": 0}, "n_heads is 0"),
        (GPTConfig, {"width": 0}, "width is 0"),
        (GPTConfig, {"vocab_multiple": 0}, "vocab_multiple is 0"),
        (GPTConfig, {"vocab_multiple": 1.5}, "vocab_multiple is 1.5"),
        (GPTConfig, {"n_layers": 2.0}, "n_layers is 2.0: it must be a whole number"),
        (GPTConfig, {"n_layers": True}, "n_layers is True"),
        (GPTConfig, {"n_layers": "12"}, "n_layers is '12'"),
        (GPTConfig, {"dropout": 1.0}, "dropout is 1.0"),
        (GPTConfig, {"dropout": -0.1}, "dropout is -0.1"),
        (GPTConfig, {"dropout": float("nan")}, "dropout is nan"),
        (GPTConfig, {"layer_norm_epsilon": 0.0}, "layer_norm_epsilon is 0.0"),
        (TrainingConfig, {"steps": 0}, "steps is 0"),
        (TrainingConfig, {"batch_size": 0}, "batch_size is 0"),
        (TrainingConfig, {"accumulation": 0}, "accumulation is 0"),
        (TrainingConfig, {"evaluate_every": 0}, "evaluate_every is 0"),
        (TrainingConfig, {"warmup_steps": -1}, "warmup_steps is -1"),
        (TrainingConfig, {"seed": -1}, "seed is -1"),
        (TrainingConfig, {"seed": 1.5}, "seed is 1.5"),
        (TrainingConfig, {"learning_rate": 0.0, "min_learning_rate": 0.0}, "the peak must lie in"),
        (TrainingConfig, {"learning_rate": 1e-5}, "learning rates 0.0001 to 1e-05"),
        (TrainingConfig, {"min_learning_rate": -1e-5}, "learning rates -1e-05 to 0.001"),
        (TrainingConfig, {"betas": (0.9,)}, "betas are"),
        (TrainingConfig, {"betas": (0.9, 1.0)}, "betas are"),
        (TrainingConfig, {"weight_decay": -0.1}, "weight_decay is -0.1"),
        (TrainingConfig, {"clip_norm": 0.0}, "clip_norm is 0.0"),
    ],
)
def test_what_cannot_work_is_named(kind, changes, message):
    with pytest.raises(ConfigError, match=message):
        kind(**changes)
    with pytest.raises(ConfigError, match=message):
        replace(kind(), **changes)


@pytest.mark.parametrize(
    "settings",
    [GPTConfig.named("gpt2-xl", qkv_bias=False), TrainingConfig(steps=7, betas=(0.8, 0.9))],
)
def test_settings_survive_json(settings):
    values = json.loads(json.dumps(settings.to_dict()))
    assert type(settings).from_dict(values) == settings


def test_a_copy_with_changes_leaves_the_record_alone():
    named = GPTConfig.named("124M", n_layers=2, dropout=0.0)
    assert (named.n_layers, named.dropout, named.width) == (2, 0.0, 768)
    assert GPTConfig.named("124M").n_layers == 12
    base = TrainingConfig()
    changed = base.with_changes(steps=3)
    assert changed.to_dict() == {**base.to_dict(), "steps": 3} and base.steps == 200
    for record, name in ((named, "n_layers"), (base, "steps")):
        with pytest.raises(FrozenInstanceError):
            setattr(record, name, 2)
