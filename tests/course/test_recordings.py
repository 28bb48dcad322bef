"""Recordings: a run's curves, small, the same when they come back, and a fair judge of others."""

import json
import math
import random
from dataclasses import asdict, replace

import pytest
import torch

from gptcourse import paths
from gptcourse.reference_runs import (
    Curve,
    Recording,
    compare_with,
    load_recording,
    recording_of,
    save,
    verdict,
)
from gptcourse.reference_runs import record as command
from gptcourse.reference_runs.band import Deviation, deviation, different_settings, widened
from gptcourse.reference_runs.recording import points
from gptlib.config import GPTConfig, TrainingConfig
from gptlib.data.corpora import load_corpus
from gptlib.data.dataset import TokenDataset
from gptlib.data.split import split_documents
from gptlib.errors import ConfigError, GPTLibError
from gptlib.model import GPT
from gptlib.tokenizer import CharacterTokenizer
from gptlib.training import trainer
from gptlib.training.metrics import curve

pytestmark = pytest.mark.usefixtures("one_thread")

TRAINING = {"steps": 120, "batch_size": 4, "accumulation": 2, "learning_rate": 1e-3, "seed": 7}


def run(seed, factor=1.0, shift=0.0):
    """Rows of a run whose loss falls from 11 to 3, with the noise of its seed."""
    noise = random.Random(seed)
    about = {
        "model": {"width": 64},
        "training": {**TRAINING, "seed": seed},
        "device": "cpu",
        "dtype": "float32",
        "corpus": {"name": "the-verdict", "fingerprint": "ab"},
        "tokenizer": "gpt2",
        "environment": {"torch": "2.13.0", "threads": 2},
    }
    rows = [about]
    for step in range(120):
        loss = factor * (3 + 8 * math.exp(-step / 30) + noise.gauss(0, 0.1)) + shift
        norm = 2 * math.exp(noise.gauss(0, 0.1))
        rows.append({"step": step, "loss": loss, "gradient_norm": norm, "tokens": 256 * (step + 1)})
        if step % 20 == 0:
            validation = 3.5 + 8 * math.exp(-step / 30) + noise.gauss(0, 0.05)
            rows += [{"step": step, "validation_loss": validation}, {"step": step, "text": "once"}]
    return rows


RUNS = [run(seed) for seed in (7, 8, 9)]
RECORDING = recording_of(RUNS)


# What is kept


def test_a_recording_comes_back_as_it_was_written_in_a_few_kilobytes_one_line_a_field(tmp_path):
    path = tmp_path / "05.json"
    save(RECORDING, path)
    assert load_recording(path) == RECORDING
    assert RECORDING.corpus == RUNS[0][0]["corpus"] and RECORDING.training["seed"] == 7
    assert RECORDING.seeds == [7, 8, 9] and RECORDING.torch == "2.13.0"
    assert len(path.read_text().splitlines()) == len(asdict(RECORDING)) + 2
    assert path.stat().st_size < 8_000


def test_each_point_of_the_loss_is_the_mean_of_a_block_and_its_range_that_of_the_seeds():
    assert RECORDING.block == 2 and RECORDING.loss.steps == list(range(1, 120, 2))
    losses = torch.tensor([curve(rows, "loss")[1] for rows in RUNS])
    means = losses.view(3, 60, 2).mean(2)
    for kept, expected in (
        (RECORDING.loss.first, means[0]),
        (RECORDING.loss.low, means.amin(0)),
        (RECORDING.loss.high, means.amax(0)),
    ):
        assert kept == pytest.approx(expected.tolist(), abs=1e-4)


def test_norms_are_averaged_on_the_log_axis_on_which_they_are_drawn():
    norms = enumerate([1.0, 100.0, 5.0])
    rows = [{"step": step, "loss": 3.0, "gradient_norm": norm} for step, norm in norms]
    assert points(rows, "gradient_norm", 2) == ([1], [pytest.approx(10.0)])  # one block is complete


def test_steps_that_float16_skipped_move_no_other_point():
    skipping = [
        {k: v for k, v in row.items() if k != "gradient_norm" or row["step"] not in (0, 1, 2)}
        for row in RUNS[1]
    ]
    kept = recording_of([RUNS[0], skipping, RUNS[2]])
    assert kept.gradient_norm.steps == RECORDING.gradient_norm.steps[1:]  # steps 0 and 1: no norm
    assert kept.gradient_norm.low[1:] == RECORDING.gradient_norm.low[2:]
    assert kept.loss == RECORDING.loss
    assert not deviation(skipping, RECORDING, "gradient_norm").unusual


def test_validation_losses_stay_single_and_its_rows_have_the_form_of_metrics():
    steps, first = curve(RUNS[0], "validation_loss")
    kept = RECORDING.validation_loss
    assert (kept.steps, kept.first) == (steps, pytest.approx(first, abs=1e-4))
    assert curve(RECORDING.rows, "validation_loss") == (kept.steps, kept.first)
    at, tokens = curve(RECORDING.rows, "tokens")
    assert tokens == [256 * (step + 1) for step in at] and len(at) == 60


BUNDLED = sorted(paths.RECORDINGS.glob("[0-9]*.json"))


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_every_bundled_recording_can_be_read_and_finds_itself_normal(path):
    recording = load_recording(path.stem)
    settings = {"corpus": recording.corpus, "model": recording.model}
    about = {**settings, "tokenizer": recording.tokenizer, "training": recording.training}
    assert len(recording.seeds) == 3 and path.stat().st_size < 8_000
    rows = [about, *unthinned(recording)]
    assert verdict(rows, recording).startswith("Your curve is normal: training loss in the band")
    assert TrainingConfig.from_dict(recording.training).steps == recording.training["steps"]
    shape = GPTConfig.from_dict(recording.model).to_dict()  # with what came after the recording
    assert recording.model.items() <= shape.items()


def unthinned(recording):
    """Rows whose blocks have the recorded means."""
    rows = [
        {"step": number * recording.block + offset, "loss": loss, "gradient_norm": norm}
        for number, (loss, norm) in enumerate(
            zip(recording.loss.first, recording.gradient_norm.first, strict=True)
        )
        for offset in range(recording.block)
    ]
    return rows + [row for row in recording.rows if "validation_loss" in row]


def test_an_unknown_or_damaged_recording_is_named(tmp_path):
    with pytest.raises(GPTLibError, match="no recording 'nothing'"):
        load_recording("nothing")
    for number, content in enumerate(('{"loss": []}', '{"loss": {}}', "[]", "{", '{"a": 1}')):
        (tmp_path / f"bad{number}.json").write_text(content)
        with pytest.raises(GPTLibError, match=rf"bad{number}\.json is no recording"):
            load_recording(tmp_path / f"bad{number}.json")


# The band


def test_the_band_is_two_of_the_widest_neighboring_ranges_wider_on_each_side():
    low, high = [5.0, 4.0, 3.0, 3.0, 3.0, 3.0], [5.0, 4.3, 3.1, 3.0, 3.0, 3.0]
    foot, top = widened("loss", Curve(list(range(6)), low, low, high))
    assert foot == pytest.approx([4.4, 3.4, 2.4, 2.4, 2.8, 2.98])  # 2·0.3, then 2·0.1, then least
    assert top == pytest.approx([5.6, 4.9, 3.7, 3.6, 3.2, 3.02])


def test_the_band_of_norms_is_widened_by_a_factor():
    band = widened("gradient_norm", Curve([0], [1.0], [1.0], [2.0]))
    assert band == ([pytest.approx(1 / 4)], [pytest.approx(8)])


def test_distances_are_signed_and_end_with_the_run():
    over = deviation(run(10, shift=5.0)[:60], RECORDING, "loss")
    under = deviation(run(10, shift=-5.0), RECORDING, "loss")
    assert len(over.steps) < len(under.steps) == 60
    assert all(far > 0 for far in over.beyond) and all(far < 0 for far in under.beyond)
    assert over.outside == over.steps
    assert 3 < max(over.beyond) <= 5 and -5 <= min(under.beyond) < -3


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_lies_outside(broken):
    rows = [{**row, "loss": broken} if "loss" in row else row for row in run(10)]
    assert set(deviation(rows, RECORDING, "loss").beyond) == {math.inf}


# The sentence


def test_a_run_with_another_seed_is_normal():
    for seed in range(20, 30):
        assert verdict(run(seed), RECORDING).startswith("Your curve is normal: training loss")


def test_a_run_that_still_goes_on_is_judged_so_far():
    assert verdict(run(20)[:80], RECORDING).startswith("Your curve is normal so far: ")
    assert verdict(run(20)[:2], RECORDING).startswith("Too early to tell: ")


CHANGED = {"batch_size": 2, "steps": 99, "learning_rate": 1e-2}
DIFFERENCES = (
    "This run cannot be judged by that recording: its text is sample-story, recorded the-verdict",
    *("; windows of a step is 4, recorded 8", "; steps is 99, recorded 120", "; and 1 more"),
)


@pytest.mark.parametrize("count", range(4))
@pytest.mark.parametrize("length", [3, 120])  # too early, and a whole run
def test_a_run_with_another_text_or_settings_is_not_judged_and_three_are_named(count, length):
    rows = run(20)[:length]
    about = {**rows[0], "training": TRAINING | dict(list(CHANGED.items())[:count])}
    about["corpus"] = {"name": "sample-story", "fingerprint": "cd"}
    told = "".join(DIFFERENCES[: count + 1]) + "."
    assert verdict([about, *rows[1:]], RECORDING) == told


def test_what_moves_no_curve_is_no_difference():
    about = run(20)[0]
    same = {"learning_rate": 1e-2 / 10 * 1.0000000000000002, "seed": 1, "evaluate_every": 3}
    same |= {"sample_every": 9, "batch_size": 8, "accumulation": 1}
    quiet = {**about, "training": {**TRAINING, **same}, "tokenizer": None, "device": "an H100"}
    assert different_settings(quiet, RECORDING) == []


def test_a_loss_logged_wrong_leaves_the_band_alone():
    told = verdict(run(20, factor=0.5), RECORDING)
    assert told.startswith("Your curve is unusual: training loss outside the band at 60 of 60 ")
    assert "below it by up to" in told and "validation loss in the band at all 6" in told


def far(low, high, steps=10):
    """A curve that is outside from `low` to `high`: over the band, or under it if `low` is more."""
    side, outside = math.copysign(1.0, high - low), range(min(low, high), max(low, high))
    beyond = [side if step in outside else 0.0 for step in range(steps)]
    return Deviation(list(range(steps)), [3.0] * steps, beyond)


def test_a_curve_is_unusual_if_more_than_a_tenth_of_its_points_lie_outside():
    assert not far(0, 0).unusual and not far(4, 5).unusual  # 1 of 10
    assert far(4, 6).unusual and far(6, 4).unusual


# Real runs: a tiny model, three recorded seeds, a fresh one, and faults that the settings hide

STORY = load_corpus("sample-story")
ALPHABET = CharacterTokenizer.train(STORY.text)
DATA = [TokenDataset(ALPHABET.encode(part[0]), 16) for part in split_documents(STORY.documents)]
TINY = GPTConfig(
    vocab_size=ALPHABET.vocab_size, context_length=16, n_layers=1, n_heads=2, width=16, dropout=0.0
)
PLAN = TrainingConfig(
    steps=60, batch_size=8, learning_rate=5e-3, warmup_steps=20, evaluate_every=15, seed=1
)


def train(seed, data=DATA, **changes):
    config = PLAN.with_changes(seed=seed, **changes)
    one = trainer.Trainer(GPT(TINY, seed=seed), *data, config, tokenizer=ALPHABET, corpus=STORY)
    return one.train()


def disguised(rows):
    """Rows that claim the recorded settings, as those of a run with a fault in the code do."""
    return json.loads(json.dumps([{**rows[0], "training": PLAN.to_dict()}, *rows[1:]]))


@pytest.fixture(scope="module")
def tiny():
    return json.loads(json.dumps(asdict(recording_of([train(seed) for seed in (1, 2, 3)]))))


@pytest.fixture
def recording(tiny):
    names = ("loss", "validation_loss", "gradient_norm")
    return Recording(**{**tiny, **{name: Curve(**tiny[name]) for name in names}})


def test_a_fresh_seed_is_normal_and_an_order_that_never_gets_on_is_found(recording, monkeypatch):
    assert verdict(train(4), recording).startswith("Your curve is normal: ")
    first = DATA[0].get_batch(0, PLAN.batch_size, 4)
    monkeypatch.setattr(TokenDataset, "get_batch", lambda *_: first)
    assert verdict(train(4), recording).startswith("Your curve is unusual: ")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"learning_rate": 5e-2}, "learning_rate is 0.05, recorded 0.005"),
        ({"warmup_steps": 0}, "warmup_steps is 0, recorded 20"),
    ],
)
def test_a_rate_ten_times_too_high_and_a_missing_warm_up_are_found(recording, changes, named):
    rows = train(4, **changes)
    assert named in verdict(rows, recording)
    assert verdict(disguised(rows), recording).startswith("Your curve is unusual: ")


def test_a_bundled_recording_begins_as_todays_code_does():
    recorded = load_recording("09-sample-story")
    assert ALPHABET.name == recorded.tokenizer
    data = [TokenDataset(ALPHABET.encode(part[0]), 64) for part in split_documents(STORY.documents)]
    config = TrainingConfig.from_dict(recorded.training).with_changes(log_layers_every=0)
    model = GPT(GPTConfig.from_dict(recorded.model), seed=config.seed)
    one = trainer.Trainer(model, *data, config, tokenizer=ALPHABET, corpus=STORY)
    rows = one.train(until=2 * recorded.block)
    assert different_settings(json.loads(json.dumps(rows[0])), recorded) == []
    for name in ("loss", "gradient_norm", "validation_loss"):
        mine, kept = points(rows, name, recorded.block)[1], getattr(recorded, name).first
        assert mine == pytest.approx(kept[: len(mine)], rel=2e-3)


def test_the_command_repeats_a_recording_with_three_seeds(recording, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "RECORDINGS", tmp_path)
    save(recording, tmp_path / "tiny.json")
    path = command.record_run("tiny", "again")
    again = load_recording("again")
    assert path == tmp_path / "again.json" and "seed 3" in capsys.readouterr().out
    assert replace(again, training=recording.training) == recording  # to the last digit
    with pytest.raises(ConfigError, match="cannot name a recording"):
        command.record_run("tiny", "../tiny")


def test_a_recording_that_exists_is_refused_before_any_run_and_replaced_on_request(
    recording, tmp_path, monkeypatch
):
    monkeypatch.setattr(paths, "RECORDINGS", tmp_path)
    save(recording, tmp_path / "tiny.json")
    runs = [[{**rows[0], "model": recording.model}, *rows[1:]] for rows in RUNS]
    monkeypatch.setattr(command, "repeat", lambda *_: pytest.fail("a run has begun"))
    with pytest.raises(ConfigError, match=r"^a recording 'tiny' exists: .* name, or --replace$"):
        command.record_run("tiny", "tiny")
    assert load_recording("tiny") == recording
    monkeypatch.setattr(command, "repeat", lambda *_: runs.pop(0))
    command.record_run("tiny", "tiny", replace=True)
    assert load_recording("tiny").loss == RECORDING.loss


def test_the_command_refuses_what_it_cannot_repeat(recording, tmp_path):
    for changes, words in (
        ({"corpus": {"name": "sample-story", "fingerprint": "0"}}, "is not the text that"),
        ({"corpus": None}, "does not say on which text"),
        ({"tokenizer": "bpe-300"}, "the tokenizer bpe-300, which it does not hold: give"),
    ):
        save(replace(recording, **changes), tmp_path / "source.json")
        with pytest.raises(ConfigError, match=words):
            command.record_run(str(tmp_path / "source.json"), "x")


def test_compare_says_the_sentence_and_draws_the_run_over_the_band(tmp_path):
    save(RECORDING, tmp_path / "reference.json")
    for name, rows, words in (
        ("a", run(20), "Your curve is normal: training loss in the band at all 60 points"),
        ("b", run(20, factor=0.5), "Your curve is unusual: "),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        told, path = compare_with(tmp_path / name, str(tmp_path / "reference.json"), None)
        assert told.startswith(words)
        assert path == tmp_path / name / "figures" / "over-reference.png" and path.is_file()
    out = tmp_path / "c.pdf"
    assert compare_with(tmp_path / "a", str(tmp_path / "reference.json"), out)[1] == out
    assert out.is_file()
