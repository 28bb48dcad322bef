"""One update: equal to a hand-written one, and in short formats close to it."""

import math

import pytest
import torch
from small_run import CONFIG, TINY, TRAIN, trainer_of
from torch.nn import functional as F

from gptlib.errors import ConfigError, TrainingDiverged
from gptlib.model import GPT
from gptlib.training import Precision, curve, make_optimizer, training_step
from gptlib.training import step as module

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
X, Y = TRAIN[:4]
FIRST_SCALE = 2.0**16  # GradScaler's own


def step(precision=None, model=None, rate=1e-2):
    model = model or GPT(TINY, seed=1).eval()
    row = training_step(model, make_optimizer(model, CONFIG), [(X, Y)], rate, 1.0, precision)
    return row, model


def float16(scale=FIRST_SCALE, good_steps=0):
    precision = Precision("float16", CPU)
    precision.restore({"scale": scale, "good_steps": good_steps})
    return precision


def state(precision):
    found = precision.scaler.state_dict()
    return found["scale"], found["_growth_tracker"]


def same(model, other, **tolerance):
    pairs = zip(model.parameters(), other.parameters(), strict=True)
    return all(torch.allclose(a, b, **tolerance) for a, b in pairs)


def test_a_step_equals_a_hand_written_one():
    model, twin = GPT(TINY, seed=1).eval(), GPT(TINY, seed=1).eval()
    row = training_step(model, torch.optim.SGD(model.parameters(), lr=9.0), [(X, Y)], 0.5, 0.1)
    loss = F.cross_entropy(twin(X).flatten(0, 1), Y.flatten())
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(twin.parameters(), 0.1)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter -= 0.5 * parameter.grad
    assert row["loss"] == pytest.approx(loss.item())
    assert row["gradient_norm"] == pytest.approx(norm.item()) and row["clipped_norm"] == 0.1
    assert same(model, twin, atol=1e-6)


def test_two_micro_batches_of_two_give_the_step_of_a_batch_of_four():
    model, twin = GPT(TINY, seed=1).eval(), GPT(TINY, seed=1).eval()
    halves = [(X[:2], Y[:2]), (X[2:], Y[2:])]
    one = training_step(model, torch.optim.SGD(model.parameters()), [(X, Y)], 0.5, 9.0)
    two = training_step(twin, torch.optim.SGD(twin.parameters()), halves, 0.5, 9.0)
    assert one == pytest.approx(two)  # the true mean loss, not half of it
    assert same(model, twin, atol=1e-6)


def test_gradients_of_the_step_before_are_forgotten():
    model = GPT(TINY, seed=1).eval()
    norms = [step(model=model, rate=0.0)[0]["gradient_norm"] for _ in range(3)]
    assert norms[0] == norms[1] == norms[2]


@pytest.mark.parametrize("wanted", ["bfloat16", "float16"])
def test_a_step_in_a_short_format_is_close_to_one_in_float32(wanted):
    full, _ = step()
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
    row, _ = step(float16())
    assert row["gradient_norm"] == pytest.approx(step(float16(2.0))[0]["gradient_norm"], rel=2e-2)


def test_a_step_that_overflows_is_skipped_and_the_scale_halved():
    precision = float16(2.0**40)  # far above what float16 holds
    before = GPT(TINY, seed=1)
    row, model = step(precision)
    assert row["skipped"] and math.isfinite(row["loss"]) and "gradient_norm" not in row
    assert state(precision) == (2.0**39, 0) and same(before, model, rtol=0, atol=0)


def test_the_scale_doubles_after_many_good_steps():
    precision = float16(good_steps=1_999)
    step(precision)
    assert state(precision) == (2 * FIRST_SCALE, 0)


def test_a_gradient_that_no_scale_helps_is_an_error():
    precision, model = float16(), GPT(TINY, seed=1).eval()
    model.ln_final.bias.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(TrainingDiverged, match="overflows float16 whatever the loss scale"):
        for _ in range(60):
            step(precision, model)


def test_the_scale_is_kept_with_the_run(tmp_path):
    config = CONFIG.with_changes(precision="float16", checkpoint_every=5)
    begun = trainer_of(tmp_path / "run", config)
    begun.precision.restore({"scale": 2.0**13, "good_steps": 0})
    begun.train(until=5)
    resumed = trainer_of(tmp_path / "run", config)
    resumed.train(until=6, resume=True)
    assert state(resumed.precision) == (2.0**13, 6)


def test_a_run_that_moves_to_another_format_begins_that_formats_scale():
    precision, full = Precision("float16", CPU), Precision("float32", CPU)
    for its in (full.scaler.state_dict(), {"scale": 1.0, "good_steps": 7}):
        precision.restore(its)
        assert state(precision) == (FIRST_SCALE, 0)
    full.restore(precision.scaler.state_dict())
    assert full.scaler.get_scale() == 1


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
