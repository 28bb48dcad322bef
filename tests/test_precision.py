"""Short formats: close to float32, and float16's scale finds its way without losing a step."""

import math

import pytest
import torch
from small_run import CONFIG, TINY, TRAIN, trainer_of

from gptlib.errors import ConfigError, TrainingDiverged
from gptlib.model import GPT
from gptlib.training import precision as module
from gptlib.training.metrics import curve
from gptlib.training.optimizer import make_optimizer
from gptlib.training.precision import FIRST_SCALE, GROWS_AFTER, Precision
from gptlib.training.step import training_step

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
BATCH = [TRAIN[:4]]


def step(precision, model=None):
    model = model or GPT(TINY, seed=1).eval()
    row = training_step(model, make_optimizer(model, CONFIG), BATCH, 1e-2, 1.0, precision)
    return row, model


@pytest.mark.parametrize("wanted", ["bfloat16", "float16"])
def test_a_step_in_a_short_format_is_close_to_one_in_float32(wanted):
    full, _ = step(None)
    short, model = step(Precision(wanted, CPU))
    assert short == pytest.approx(full, rel=2e-2) and short != full
    assert all(p.dtype is torch.float32 for p in model.parameters())


@pytest.mark.parametrize("wanted", ["bfloat16", "float16"])
def test_a_run_in_a_short_format_learns_what_float32_learns(wanted):
    short = trainer_of(None, CONFIG.with_changes(precision=wanted)).train()
    full = trainer_of(None, CONFIG).train()
    assert short[0]["dtype"] == wanted
    assert curve(short, "loss")[1] == pytest.approx(curve(full, "loss")[1], abs=0.05)


def test_float16_scales_the_loss_and_unscales_the_gradients():
    row, _ = step(Precision("float16", CPU))
    unscaled = Precision("float16", CPU)
    unscaled.scale = 1.0
    assert row["gradient_norm"] == pytest.approx(step(unscaled)[0]["gradient_norm"], rel=2e-2)


def test_a_step_that_overflows_is_skipped_and_the_scale_halved():
    precision = Precision("float16", CPU)
    precision.scale = 2.0**40  # far above what float16 holds
    before = [p.clone() for p in GPT(TINY, seed=1).parameters()]
    row, model = step(precision)
    assert row["skipped"] and math.isfinite(row["loss"]) and "gradient_norm" not in row
    assert precision.scale == 2.0**39
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_the_scale_doubles_after_many_good_steps():
    precision = Precision("float16", CPU)
    precision.good_steps = GROWS_AFTER - 1
    step(precision)
    assert (precision.scale, precision.good_steps) == (2 * FIRST_SCALE, 0)


def test_a_gradient_that_no_scale_helps_is_an_error():
    precision, model = Precision("float16", CPU), GPT(TINY, seed=1).eval()
    model.ln_final.bias.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(TrainingDiverged, match="overflows float16 whatever the loss scale"):
        for _ in range(60):
            step(precision, model)


def test_the_scale_is_kept_with_the_run(tmp_path):
    config = CONFIG.with_changes(precision="float16", checkpoint_every=5)
    begun = trainer_of(tmp_path / "run", config)
    begun.precision.scale = 2.0**13
    begun.train(until=5)
    resumed = trainer_of(tmp_path / "run", config)
    resumed.train(until=6, resume=True)
    assert (resumed.precision.scale, resumed.precision.good_steps) == (2.0**13, 6)


def test_a_run_that_moves_to_another_format_begins_that_formats_scale():
    precision = Precision("float16", CPU)
    precision.restore(Precision("float32", CPU).state())
    assert precision.scale == FIRST_SCALE
    full = Precision("float32", CPU)
    full.restore(precision.state())
    assert full.scale == 1.0


def test_auto_takes_the_devices_best_format_and_says_so(monkeypatch):
    assert Precision("auto", CPU).reason == "float32, the best format of this cpu device"
    monkeypatch.setattr(module, "choose_dtype", lambda device: torch.bfloat16)
    assert Precision("auto", CPU).dtype is torch.bfloat16
    assert Precision("float16", CPU).reason == "float16, asked for"


def test_emulated_bfloat16_is_refused(monkeypatch):
    monkeypatch.setattr(module, "choose_dtype", lambda device: torch.float16)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "Tesla T4")
    with pytest.raises(ConfigError, match="Tesla T4 does not compute bfloat16"):
        Precision("bfloat16", torch.device("cuda"))
