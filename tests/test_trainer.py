"""The trainer: one step equals a hand-written one, and looking at a run changes nothing in it."""

import json
import math

import pytest
import torch
from small_run import TINY, TOKENIZER, TRAIN, VALIDATION
from torch.nn import functional as F

from gptlib.config import GPTConfig, TrainingConfig
from gptlib.errors import (
    CheckpointError,
    ConfigError,
    FolderError,
    TokenOutOfRange,
    TrainingDiverged,
)
from gptlib.model import GPT
from gptlib.tokenizer import CharacterTokenizer
from gptlib.training.checkpoint import checkpoints, load_checkpoint, step_of
from gptlib.training.metrics import best_validation, curve, read_metrics
from gptlib.training.progress import log_to, progress_bar
from gptlib.training.step import training_step
from gptlib.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = TrainingConfig(
    steps=10, batch_size=4, learning_rate=1e-2, warmup_steps=2, evaluate_every=5
)


def trainer(run_folder=None, model=None, data=TRAIN, tokenizer=TOKENIZER, report=None, **changes):
    model = model or GPT(TINY, seed=1)
    config = CONFIG.with_changes(**changes)
    return Trainer(model, data, VALIDATION, config, run_folder, tokenizer, report=report)


def digest(trained):
    """Everything that a run's future depends on."""
    return [
        *trained.model.state_dict().values(),
        *(v for s in trained.optimizer.state_dict()["state"].values() for v in s.values()),
        torch.get_rng_state(),
    ]


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def losses(rows):
    return curve(rows, "loss")[1]


# One step


def test_a_step_equals_a_hand_written_one():
    model, twin = GPT(TINY, seed=1).eval(), GPT(TINY, seed=1).eval()
    x, y = TRAIN[0][:4], TRAIN[1][:4]
    row = training_step(model, torch.optim.SGD(model.parameters(), lr=9.0), [(x, y)], 0.5, 0.1)
    loss = F.cross_entropy(twin(x).flatten(0, 1), y.flatten())
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(twin.parameters(), 0.1)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter -= 0.5 * parameter.grad
    assert row["loss"] == pytest.approx(loss.item())
    assert row["gradient_norm"] == pytest.approx(norm.item()) and row["clipped_norm"] == 0.1
    for mine, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(mine, other, atol=1e-6)


def test_two_micro_batches_of_two_give_the_step_of_a_batch_of_four():
    model, twin = GPT(TINY, seed=1).eval(), GPT(TINY, seed=1).eval()
    x, y = TRAIN[0][:4], TRAIN[1][:4]
    halves = [(x[:2], y[:2]), (x[2:], y[2:])]
    one = training_step(model, torch.optim.SGD(model.parameters()), [(x, y)], 0.5, 9.0)
    two = training_step(twin, torch.optim.SGD(twin.parameters()), halves, 0.5, 9.0)
    assert one == pytest.approx(two)  # the true mean loss, not half of it
    for mine, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(mine, other, atol=1e-6)


def test_gradients_of_the_step_before_are_forgotten():
    model = GPT(TINY, seed=1).eval()
    optimizer = torch.optim.SGD(model.parameters())
    batch = [(TRAIN[0][:4], TRAIN[1][:4])]
    norms = [training_step(model, optimizer, batch, 0.0, 9.0)["gradient_norm"] for _ in range(3)]
    assert norms[0] == norms[1] == norms[2]


def test_a_gradient_that_is_not_finite_stops_before_the_parameters_change():
    trained = trainer()
    trained.train(until=3)
    trained.model.blocks[0].ln_1.bias.register_hook(lambda gradient: gradient * math.nan)
    before = [p.clone() for p in trained.model.parameters()]
    with pytest.raises(TrainingDiverged, match=r"step 3: .* blocks\.0\.ln_1\.bias is not finite"):
        trained.train()
    assert equal(before, trained.model.parameters())


# The loop


def test_training_lowers_both_losses_on_a_text_that_repeats():
    rows = trainer(steps=150, evaluate_every=150).train()
    assert losses(rows)[0] == pytest.approx(math.log(TINY.vocab_size), abs=0.5)
    assert losses(rows)[-1] < losses(rows)[0] - 1
    assert curve(rows, "validation_loss")[1][-1] < losses(rows)[0] - 1


def test_rows_say_what_happened():
    rows = trainer(accumulation=2).train()
    assert [row["step"] for row in rows if "loss" in row] == list(range(10))
    assert curve(rows, "validation_loss")[0] == [0, 5, 10]
    first = next(row for row in rows if "loss" in row)
    assert first["tokens"] == 4 * 2 * 8
    assert first["tokens_per_second"] == pytest.approx(first["tokens"] / first["seconds"])
    assert first["clipped_norm"] <= first["gradient_norm"]
    assert rows[0]["device"] == "cpu" and rows[0]["dtype"] == "float32"


def test_the_learning_rate_follows_the_schedule():
    rates = curve(trainer().train(), "learning_rate")[1]
    assert rates[:2] == [0.5e-2, 1e-2] and rates[-1] < rates[2]


def test_the_last_step_is_validated_whatever_the_interval():
    assert curve(trainer(evaluate_every=4).train(), "validation_loss")[0] == [0, 4, 8, 10]


def test_an_epoch_sees_every_window_once():
    seen = []
    run = trainer(data=tuple(t[:36] for t in TRAIN), batch_size=2, accumulation=2)
    for step in range(9):
        run.step = step
        batches = [run.batches.at(place) for place in run.places()]
        seen += [tuple(row.tolist()) for x, _ in batches for row in x]
    assert sorted(seen) == sorted(tuple(row.tolist()) for row in TRAIN[0][:36])


LOOKS = [
    {"evaluate_every": 1},
    {"evaluate_batches": 1},
    {"sample_every": 1},
    {"checkpoint_every": 1},
    {"autosave_minutes": 1e-9},
    {"layers_every": 1},
    {"report": 1},
]


@pytest.mark.parametrize("changes", LOOKS, ids=lambda changes: next(iter(changes)))
def test_looking_at_a_run_changes_nothing_in_it(changes, tmp_path):
    plain = trainer()
    expected = losses(plain.train()), digest(plain)
    if "report" in changes:
        changes = {"report": lambda line: None}
    watched = trainer(tmp_path / "run", **changes)
    assert losses(watched.train()) == expected[0]
    assert equal(digest(watched), expected[1])


FIELDS = {
    "steps": 9,
    "batch_size": 3,
    "accumulation": 2,
    "learning_rate": 2e-2,
    "min_learning_rate": 5e-3,
    "warmup_steps": 3,
    "weight_decay": 0.9,
    "betas": (0.5, 0.6),
    "clip_norm": 0.01,
    "seed": 8,
    "evaluate_every": 3,
    "sample_every": 5,
}


@pytest.mark.parametrize("field", FIELDS)
def test_every_setting_takes_effect(field):
    def outcome(**changes):
        rows = trainer(**changes).train()
        return [row.get("loss") or row.get("validation_loss") for row in rows[1:]]

    assert outcome(**{field: FIELDS[field]}) != outcome()


def test_samples_continue_the_validation_text():
    rows = trainer(sample_every=5).train()
    texts = [row["text"] for row in rows if "text" in row]
    start = TOKENIZER.decode(VALIDATION[0][0].tolist())
    assert len(texts) == 3 and all(text.startswith(start) for text in texts)


def test_a_sample_ends_with_its_text_and_reads_what_is_new(monkeypatch):
    def sample(read):
        trained = trainer(sample_every=1)
        mlp = trained.model.blocks[0].mlp
        mlp.register_forward_hook(lambda _m, _i, y: read.append(y.shape[1]))
        trained.write_sample(TOKENIZER)
        return trained.run.log.rows[-1]["text"]

    read = []
    whole = sample(read)
    assert len(whole) == 48 and read[:5] == [8, 5, 1, 1, 1]  # 8 fit, then half of them leave
    end = whole[20]
    monkeypatch.setattr(CharacterTokenizer, "end_of_text", TOKENIZER.encode(end)[0])
    assert sample([]) == whole[:8] + whole[8:].partition(end)[0]


def test_reports_are_lines_for_people():
    lines = []
    trainer(sample_every=10, report=lines.append).train()
    assert lines[0].startswith("step     0") and len(lines) == 5
    assert all("\n" not in line for line in lines)


def test_ids_outside_the_vocabulary_are_refused_before_training():
    x, y = TRAIN[0].clone(), TRAIN[1].clone()
    y[3, 2] = TINY.vocab_size
    with pytest.raises(TokenOutOfRange, match=f"token id {TINY.vocab_size}"):
        trainer(data=(x, y))


def test_samples_without_a_tokenizer_are_refused():
    with pytest.raises(ConfigError, match="sample_every needs a tokenizer"):
        trainer(tokenizer=None, sample_every=1)


# Stopping and going on


def test_five_steps_and_five_more_equal_ten_bit_for_bit(tmp_path):
    whole = trainer(tmp_path / "whole")
    rows = whole.train()
    expected = digest(whole)
    trainer(tmp_path / "parts").train(until=5)
    torch.manual_seed(99)  # another session draws what it likes
    resumed = trainer(tmp_path / "parts", model=GPT(TINY, seed=2))
    rows_of_parts = resumed.train(resume=True)
    assert equal(digest(resumed), expected)
    assert without_times(rows_of_parts) == without_times(rows)
    assert without_times(read_metrics(tmp_path / "parts")) == without_times(rows)


MEASURED = ("seconds", "tokens_per_second", "utilisation", "peak_memory", "peak_flops")


def without_times(rows):
    return [{name: v for name, v in row.items() if name not in MEASURED} for row in rows]


def test_a_pause_in_one_session_changes_nothing():
    whole = trainer()
    whole.train()
    expected = digest(whole)
    paused = trainer()
    paused.train(until=4)
    torch.manual_seed(99)
    paused.train()
    assert equal(digest(paused), expected)


def test_metrics_written_after_the_checkpoint_are_cut_off(tmp_path):
    rows = trainer(tmp_path / "whole").train()
    trainer(tmp_path / "run").train(until=5)
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "loss": 1.0}\n{"step": 6, "lo')  # killed while writing
    resumed = trainer(tmp_path / "run").train(resume=True)
    assert without_times(resumed) == without_times(rows)


def test_a_run_killed_before_its_first_checkpoint_begins_again(tmp_path):
    trainer(tmp_path / "run").train(until=5)
    (tmp_path / "run" / "checkpoints" / "step-00000005").rename(tmp_path / "gone")
    rows = trainer(tmp_path / "run").train(resume=True)
    assert losses(rows) == losses(trainer().train())
    assert sum("model" in row for row in read_metrics(tmp_path / "run")) == 1


def test_the_best_checkpoint_is_kept_beside_the_newest(tmp_path, monkeypatch):
    losses = iter([9.0, 3.0, 1.0, 2.0, 2.0, 2.0])
    monkeypatch.setattr("gptlib.training.trainer.evaluate", lambda *_: next(losses))
    trainer(tmp_path / "run", evaluate_every=2, checkpoint_every=5).train()
    kept = [step_of(folder) for folder in checkpoints(tmp_path / "run")]
    assert kept == [4, 5, 10]  # step 4 was the best; step 2 was, until then
    assert load_checkpoint(tmp_path / "run").state["best_step"] == 4


def test_a_best_step_without_a_checkpoint_protects_none(tmp_path, monkeypatch):
    losses = iter([9.0, 3.0, 1.0, 2.0, 2.0, 2.0])
    monkeypatch.setattr("gptlib.training.trainer.evaluate", lambda *_: next(losses))
    trainer(tmp_path / "run", evaluate_every=2).train()
    state = load_checkpoint(tmp_path / "run").state
    assert (state["best_step"], state["best_validation"]) == (10, 2.0)


def test_metrics_that_lost_rows_are_a_warning(tmp_path):
    trainer(tmp_path / "run").train(until=5)
    file = tmp_path / "run" / "metrics.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-2]))
    with pytest.warns(UserWarning, match="has lost rows"):
        trainer(tmp_path / "run").train(resume=True)


def test_resuming_a_finished_run_gives_its_rows(tmp_path):
    rows = trainer(tmp_path / "run").train()
    assert trainer(tmp_path / "run").train(resume=True) == rows


def test_a_folder_with_a_run_is_not_trained_over(tmp_path):
    trainer(tmp_path / "run").train()
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    with pytest.raises(FolderError, match="already holds a run"):
        trainer(tmp_path / "run").train()
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"seed": 8}, "training seed was 42, now 8"),
        ({"steps": 20}, "training steps was 10, now 20"),
        ({"data": (TRAIN[0][:30], TRAIN[1][:30])}, "fingerprint of data"),
        ({"tokenizer": None}, "fingerprint of tokenizer"),
        ({"model": GPT(GPTConfig.from_dict({**TINY.to_dict(), "width": 4}))}, "model width"),
    ],
)
def test_a_run_goes_on_only_as_it_began(other, named, tmp_path):
    trainer(tmp_path / "run").train(until=5)
    changed = trainer(tmp_path / "run", **other)
    before = [p.clone() for p in changed.model.parameters()]
    with pytest.raises(CheckpointError, match=named):
        changed.train(resume=True)
    assert equal(before, changed.model.parameters())


def test_a_resumed_run_may_look_more_often(tmp_path):
    trainer(tmp_path / "run").train(until=5)
    rows = trainer(tmp_path / "run", evaluate_every=1).train(resume=True)
    assert losses(rows) == losses(trainer().train())


# What is kept


def test_metrics_are_one_json_object_a_line(tmp_path):
    rows = trainer(tmp_path / "run").train()
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == json.loads(json.dumps(rows))


def test_damaged_metrics_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="no metrics in"):
        read_metrics(tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"step": 0}\n{"st\n{"step": 2}\n')
    with pytest.raises(CheckpointError, match="is damaged"):
        read_metrics(tmp_path)


def test_the_best_validation_is_the_lowest():
    rows = [{"step": s, "validation_loss": v} for s, v in ((0, 3.0), (5, 1.0), (10, 2.0))]
    assert best_validation(rows) == (5, 1.0)
    assert best_validation([{"step": 0, "loss": 1.0}]) == (None, None)


def test_the_progress_bar_is_silent_under_ci(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("CI", "true")
    with progress_bar(3, 0) as bar:
        bar.update()
    assert capsys.readouterr().err == ""


def test_log_lines_go_to_a_file_and_the_terminal(tmp_path, capsys):
    with log_to(tmp_path / "run.log") as report:
        report("step 0: fine")
    report("after the end")
    assert (tmp_path / "run.log").read_text().count("\n") == 1
    assert capsys.readouterr().err.count("step 0: fine") == 1
