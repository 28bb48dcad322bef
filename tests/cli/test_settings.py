"""Settings: by name, from a file, from options; and every field of every name takes effect."""

import math
import time
import tomllib
from dataclasses import fields
from unittest.mock import patch

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gptlib.config import PRESETS, GPTConfig, TrainingConfig, load_training_config, to_toml
from gptlib.data.dataset import TokenDataset, epoch_order
from gptlib.errors import ConfigError
from gptlib.model import GPT
from gptlib.tokenizer import CharacterTokenizer
from gptlib.training import Trainer, learning_rate_of

TOKENIZER = CharacterTokenizer.train("abcdefgh")
TINY = GPTConfig(
    vocab_size=TOKENIZER.vocab_size, context_length=4, n_layers=1, n_heads=1, width=4, dropout=0.0
)
GENERATOR = torch.Generator().manual_seed(0)
DATA = TokenDataset(torch.randint(TOKENIZER.vocab_size, (8_001,), generator=GENERATOR), 4)


# The numbers of the systems that this course stands for

NUMBERS = {
    "algerian": {  # A
        **{"epochs": 2, "batch_size": 2, "accumulation": 2, "clip_norm": 1.0},
        **{"evaluate_every": 20, "evaluate_batches": 4},
    },
    "foundation-better-quality": {  # W
        **{"learning_rate": 2e-4, "epochs": 50, "batch_size": 4, "accumulation": 8},
        **{"weight_decay": 0.01, "warmup_steps": 2_000, "clip_norm": 1.0},
    },
    "darija": {  # D
        **{"learning_rate": 6e-4, "min_learning_rate": 6e-5, "warmup_steps": 10, "steps": 4_000},
        "checkpoint_every": 500,
    },
    # ours
    "fast": {"steps": 200, "learning_rate": 1e-3, "sample_every": 100},
    "foundation": {"steps": 5_000, "batch_size": 8, "accumulation": 8, "learning_rate": 6e-4},
    "foundation-long": {"steps": 20_000, "accumulation": 16, "warmup_steps": 1_000},
    "slow": {"steps": 40_000, "learning_rate": 1e-4, "clip_norm": 0.5},
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_named_setting_has_its_systems_numbers(name):
    config, budget = load_training_config(name)
    found = config.to_dict() | budget
    assert {key: found[key] for key in NUMBERS[name]} == NUMBERS[name]
    assert ("epochs" in budget) == ("epochs" in NUMBERS[name])


def test_the_rate_of_the_algerian_run_is_constant_and_its_steps_come_from_its_tokens():
    config, _ = load_training_config("algerian")
    run = config.for_budget({"tokens": 3_003_656}, 9_999, 512)
    assert run.steps == 1_466
    assert {learning_rate_of(step, run) for step in range(1_466)} == {1e-3}


def test_the_rate_of_the_darija_run_is_that_of_its_system():
    config = TrainingConfig.named("darija")
    found = [learning_rate_of(step, config) for step in (0, 9, 2_005, 4_000)]
    assert found == pytest.approx([6e-5, 6e-4, 3.3e-4, 6e-5])


def test_the_algerian_model_has_no_dropout():
    config = GPTConfig.named("algerian")
    assert (config.dropout, config.context_length, config.vocab_size) == (0.0, 512, 10_000)


# One layer over another


def test_a_file_overrides_the_name_and_options_override_the_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("steps = 7\nbatch_size = 3\nbetas = [0.8, 0.9]")
    config, budget = load_training_config("foundation", file, {"batch_size": 5})
    assert (config.steps, config.batch_size, config.betas) == (7, 5, (0.8, 0.9))
    assert config.accumulation == 8 and budget == {}


def test_a_peak_without_a_floor_brings_its_own():
    assert TrainingConfig.named("fast", learning_rate=0.5).min_learning_rate == 0.05
    both = {"learning_rate": 0.5, "min_learning_rate": 0.4}
    assert TrainingConfig.named("fast", **both).min_learning_rate == 0.4


def test_a_later_budget_replaces_an_earlier_one(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("epochs = 2")
    assert load_training_config("slow", file)[1] == {"epochs": 2}
    assert load_training_config("slow", file, {"tokens": 900.0})[1] == {"tokens": 900.0}
    config, budget = load_training_config("algerian", file, {"steps": 9})
    assert config.steps == 9 and budget == {}
    assert TrainingConfig.named("algerian", steps=9) == config
    with pytest.raises(ConfigError, match="'algerian' count in epochs: give steps"):
        TrainingConfig.named("algerian")


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("stepz = 3", {}, "mine.toml: unknown key 'stepz': known keys are steps, .*'steps'"),
        ("[training]", {}, "mine.toml: unknown key 'training'"),
        ("steps = 3\ntokens = 9", {}, "steps and tokens both say how long"),
        ("steps 3", {}, "is no TOML"),
        ("tokens = -9", {}, "tokens is -9: it must be a number above 0"),
        ("steps = 3", {"epochs": 0}, "epochs is 0"),
        ("epochs = nan", {}, "epochs is nan"),
        ("compile = 1", {}, "compile is 1: it must be true or false"),
        ("precision = 'int8'", {}, "precision is 'int8': use one of auto, float32"),
        ("autosave_minutes = -1", {}, "autosave_minutes is -1"),
        ("evaluate_batches = -1", {}, "evaluate_batches is -1"),
        # of another type, or no number
        ('learning_rate = "3e-4"', {}, "learning_rate is '3e-4': it must be a number"),
        ("betas = 0.9", {}, r"betas are \(0.9,\): give two numbers"),
        ('betas = ["0.9", "0.95"]', {}, "betas are"),
        ('weight_decay = "0.1"', {}, "weight_decay is '0.1': it must be a number of at least 0"),
        ("clip_norm = true", {}, "clip_norm is True: it must be a number above 0"),
        ("clip_norm = inf", {}, "clip_norm is inf"),
        ("steps = 3.5", {}, "steps is 3.5: it must be a whole number of at least 1"),
    ],
)
def test_what_cannot_work_is_named(tmp_path, content, options, message):
    file = tmp_path / "mine.toml"
    file.write_text(content)
    with pytest.raises(ConfigError, match=message) as caught:
        load_training_config("fast", file, options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", PRESETS)
def test_settings_survive_their_file(name, tmp_path):
    file, meant = tmp_path / "settings.toml", load_training_config(name)
    file.write_text(to_toml(*meant))
    assert load_training_config("fast", file) == meant
    assert len(tomllib.loads(file.read_text())) == len(fields(TrainingConfig))


# Budgets


def test_epochs_become_steps():
    config = TrainingConfig(batch_size=4, accumulation=2)
    assert config.for_budget({"epochs": 3}, 80, 16).steps == 30
    assert config.for_budget({"epochs": 1}, 83, 16).steps == 10  # no step beyond the budget
    assert config.for_budget({}, 80, 16) == config


@given(st.integers(1, 64), st.integers(1, 8), st.integers(1, 2_000), st.integers(1, 10**9))
def test_a_budget_in_tokens_is_used_up_and_not_exceeded(batch_size, accumulation, T, tokens):
    config = TrainingConfig(batch_size=batch_size, accumulation=accumulation)
    price = batch_size * accumulation * T
    if tokens < price:
        with pytest.raises(ConfigError, match="do not pay for one step"):
            config.for_budget({"tokens": tokens}, 10, T)
    else:
        assert config.for_budget({"tokens": tokens}, 10, T).steps == tokens // price


# Every field of every named setting takes effect


def trainer(config, run_folder=None, model=None):
    model = model or GPT(TINY, seed=0)
    return Trainer(model, DATA, DATA, config, run_folder, TOKENIZER)


def row_of(trained, step):
    """The metrics of one step, wherever it is in the run."""
    trained.step = step
    trained.update()
    return trained.run.log.rows[-1]


def batches_of(trained):
    """The micro-batches of the first step."""
    with patch("gptlib.training.trainer.training_step", return_value={"loss": 1.0}) as step:
        trained.update()
    return step.call_args.args[2]


def looked_at(trained, step, key):
    """Whether a look at a step leaves a row with a key."""
    trained.run.log.rows.clear()
    trained.step = step
    trained.evaluate_and_save()
    return any(key in row for row in trained.run.log.rows)


def steps(config, folder):
    trained = trainer(config)
    trained.run.log.add(begun=True)
    trained.step = config.steps - 1
    rows = trained.train()
    assert [row["step"] for row in rows if "loss" in row] == [config.steps - 1]
    assert [row["step"] for row in rows if "validation_loss" in row] == [config.steps]


def batch_size(config, folder):
    assert batches_of(trainer(config))[0][0].shape == (config.batch_size, 4)


def accumulation(config, folder):
    places = trainer(config).batch_positions()
    assert places == [number * config.batch_size for number in range(config.accumulation)]


def learning_rate(config, folder):
    peak = max(config.warmup_steps - 1, 0)
    trained = trainer(config)
    assert row_of(trained, peak)["learning_rate"] == pytest.approx(config.learning_rate)
    assert trained.optimizer.param_groups[0]["lr"] == pytest.approx(config.learning_rate)


def min_learning_rate(config, folder):
    last = row_of(trainer(config), config.steps - 1)["learning_rate"]
    assert last == pytest.approx(config.min_learning_rate, rel=1e-2)


def warmup_steps(config, folder):
    rate = row_of(trainer(config), 0)["learning_rate"]
    assert rate == pytest.approx(config.learning_rate / max(config.warmup_steps, 1))


def schedule_steps(config, folder):
    early = config.with_changes(schedule_steps=config.steps // 2)
    for step in (config.steps // 2, config.steps - 1):
        assert row_of(trainer(early), step)["learning_rate"] == config.min_learning_rate


def weight_decay(config, folder):
    decays = [group["weight_decay"] for group in trainer(config).optimizer.param_groups]
    assert decays == [config.weight_decay, 0]


def betas(config, folder):
    assert all(g["betas"] == config.betas for g in trainer(config).optimizer.param_groups)


def clip_norm(config, folder):
    model = GPT(TINY, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 50  # long gradients
    row = row_of(trainer(config, model=model), 0)
    assert row["gradient_norm"] > row["clipped_norm"] == config.clip_norm


def precision(config, folder):
    asked = trainer(config.with_changes(precision="bfloat16"))
    assert asked.precision.dtype is torch.bfloat16
    assert trainer(config).precision.dtype is torch.float32  # auto, on a CPU


def compile(config, folder):
    compiled = trainer(config.with_changes(compile=True)).model.blocks[0]
    assert compiled._compiled_call_impl is not None
    assert trainer(config).model.blocks[0]._compiled_call_impl is None


def evaluate_every(config, folder):
    trained, every = trainer(config), config.evaluate_every
    assert looked_at(trained, every, "validation_loss")
    assert not looked_at(trained, every + 1, "validation_loss")


def evaluate_batches(config, folder):
    wanted = config.evaluate_batches * config.batch_size or len(DATA)
    assert len(trainer(config).validation_data) == wanted


def sample_every(config, folder):
    trained, every = trainer(config), config.sample_every
    assert looked_at(trained, every, "text") and not looked_at(trained, every + 1, "text")


def checkpoint_every(config, folder):
    for step, kept in ((config.checkpoint_every, True), (config.checkpoint_every + 1, False)):
        run = folder / str(step)
        trained = trainer(config.with_changes(evaluate_every=10**6, sample_every=0), run)
        trained.train(until=1)
        looked_at(trained, step, "")
        assert (run / "checkpoints" / f"step-{step:08d}").exists() == kept


def autosave_minutes(config, folder):
    run = trainer(config).run
    assert not run.overdue()
    run.saved_at = time.monotonic() - 60 * config.autosave_minutes - 1
    assert run.overdue()


def log_layers_every(config, folder):
    assert "gradient_norms" not in row_of(trainer(config), 4)
    row = row_of(trainer(config.with_changes(log_layers_every=4)), 4)
    total = math.hypot(*row["gradient_norms"].values())
    assert total == pytest.approx(row["gradient_norm"], rel=1e-5)


def seed(config, folder):
    rows = epoch_order(len(DATA), config.seed, 0)[: config.batch_size]
    assert torch.equal(batches_of(trainer(config))[0][0], DATA[rows][0])


EFFECTS = [
    *(steps, batch_size, accumulation, learning_rate, min_learning_rate, warmup_steps),
    *(
        schedule_steps,
        weight_decay,
        betas,
        clip_norm,
        precision,
        compile,
        evaluate_every,
        evaluate_batches,
    ),
    *(sample_every, checkpoint_every, autosave_minutes, log_layers_every, seed),
]


def test_no_field_is_forgotten():
    assert [effect.__name__ for effect in EFFECTS] == [
        field.name for field in fields(TrainingConfig)
    ]


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.__name__)
@pytest.mark.parametrize("name", ["algerian", "foundation-better-quality", "darija"])
def test_every_field_of_every_named_setting_takes_effect(name, effect, tmp_path):
    effect(TrainingConfig.named(name, steps=PRESETS[name].get("steps", 5_000)), tmp_path)
