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

from gptlib.config import GPTConfig, TrainingConfig
from gptlib.data.dataset import TokenDataset, epoch_order
from gptlib.errors import ConfigError
from gptlib.model import GPT
from gptlib.settings import SETTINGS, resolve, to_toml, with_budget
from gptlib.tokenizer import CharacterTokenizer
from gptlib.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

TOKENIZER = CharacterTokenizer.train("abcdefgh")
TINY = GPTConfig(
    vocab_size=TOKENIZER.vocab_size, context_length=4, n_layers=1, n_heads=1, width=4, dropout=0.0
)
GENERATOR = torch.Generator().manual_seed(0)
DATA = TokenDataset(torch.randint(TOKENIZER.vocab_size, (8_001,), generator=GENERATOR), 4)


# One layer over another


def test_a_file_overrides_the_name_and_options_override_the_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("steps = 7\nbatch_size = 3\nbetas = [0.8, 0.9]")
    config, budget = resolve("foundation", file, {"batch_size": 5})
    assert (config.steps, config.batch_size, config.betas) == (7, 5, (0.8, 0.9))
    assert config.accumulation == SETTINGS["foundation"].accumulation and budget == {}


def test_a_peak_without_a_floor_brings_its_own():
    assert resolve("fast", None, {"learning_rate": 0.5})[0].min_learning_rate == 0.05
    both = {"learning_rate": 0.5, "min_learning_rate": 0.4}
    assert resolve("fast", None, both)[0].min_learning_rate == 0.4


def test_a_later_budget_replaces_an_earlier_one(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("epochs = 2")
    assert resolve("slow", file, {})[1] == {"epochs": 2}
    assert resolve("slow", file, {"tokens": 900.0})[1] == {"tokens": 900.0}
    config, budget = resolve("slow", file, {"steps": 9})
    assert config.steps == 9 and budget == {}


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("stepz = 3", {}, "mine.toml: unknown key 'stepz': known keys are steps, .*, tokens"),
        ("[training]", {}, "mine.toml: unknown key 'training'"),
        ("steps = 3\ntokens = 9", {}, "steps and tokens both say how long"),
        ("steps 3", {}, "is no TOML"),
        ("tokens = -9", {}, "tokens is -9: use a number above 0"),
        ("steps = 3", {"epochs": 0}, "epochs is 0"),
        ("compile = 1", {}, "compile is 1: it must be true or false"),
        ("precision = 'int8'", {}, "precision is 'int8'"),
        ("autosave_minutes = -1", {}, "autosave_minutes is -1"),
        ("evaluate_batches = -1", {}, "evaluate_batches is -1"),
    ],
)
def test_what_cannot_work_is_named(tmp_path, content, options, message):
    file = tmp_path / "mine.toml"
    file.write_text(content)
    with pytest.raises(ConfigError, match=message):
        resolve("fast", file, options)


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_survive_their_file(name, tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text(to_toml(SETTINGS[name]))
    assert resolve("fast", file, {})[0] == SETTINGS[name]
    assert len(tomllib.loads(file.read_text())) == len(fields(TrainingConfig))


# Budgets


def test_tokens_become_steps_as_in_the_algerian_run():
    config = SETTINGS["algerian"]
    assert with_budget(config, {"tokens": 3_003_656}, 9_999, 512).steps == 1_466 == config.steps


def test_epochs_become_steps():
    config = TrainingConfig(batch_size=4, accumulation=2)
    assert with_budget(config, {"epochs": 3}, 80, 16).steps == 30
    assert with_budget(config, {"epochs": 1}, 83, 16).steps == 10  # no step beyond the budget
    assert with_budget(config, {}, 80, 16) is config


@given(st.integers(1, 64), st.integers(1, 8), st.integers(1, 2_000), st.integers(1, 10**9))
def test_a_budget_in_tokens_is_used_up_and_not_exceeded(batch_size, accumulation, T, tokens):
    config = TrainingConfig(batch_size=batch_size, accumulation=accumulation)
    price = batch_size * accumulation * T
    if tokens < price:
        with pytest.raises(ConfigError, match="do not pay for one step"):
            with_budget(config, {"tokens": tokens}, 10, T)
    else:
        assert with_budget(config, {"tokens": tokens}, 10, T).steps == tokens // price


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
    assert rate == pytest.approx(config.learning_rate / config.warmup_steps)


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
    *(weight_decay, betas, clip_norm, precision, compile, evaluate_every, evaluate_batches),
    *(sample_every, checkpoint_every, autosave_minutes, log_layers_every, seed),
]


def test_no_field_is_forgotten():
    assert [effect.__name__ for effect in EFFECTS] == [
        field.name for field in fields(TrainingConfig)
    ]


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.__name__)
@pytest.mark.parametrize("name", SETTINGS)
def test_every_field_of_every_named_setting_takes_effect(name, effect, tmp_path):
    effect(SETTINGS[name], tmp_path)
