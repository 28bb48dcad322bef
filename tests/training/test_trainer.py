"""The trainer: it goes on as if it had never stopped, and looking at a run changes nothing."""

import json
import math

import pytest
import torch
from small_run import CONFIG as TWICE
from small_run import TINY, TOKENIZER, TRAIN, VALIDATION, trainer_of

from gptlib.config import GPTConfig, TrainingConfig
from gptlib.data.dataset import TokenDataset
from gptlib.errors import (
    CheckpointError,
    ConfigError,
    FolderError,
    GPTLibError,
    TokenOutOfRange,
    TrainingDiverged,
)
from gptlib.model import GPT
from gptlib.tokenizer import CharacterTokenizer
from gptlib.training.checkpoint import checkpoints, load_checkpoint, step_of
from gptlib.training.metrics import best_validation, curve, read_metrics
from gptlib.training.run import log_to
from gptlib.training.step import explained
from gptlib.training.trainer import Trainer, progress_bar

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
    assert curve(trainer(evaluate_every=4).train(), "validation_loss")[0] == [0, 4, 8, 10]
    assert curve(rows, "learning_rate")[1][:2] == [0.5e-2, 1e-2]
    first = next(row for row in rows if "loss" in row)
    assert first["tokens"] == 4 * 2 * 8
    assert first["tokens_per_second"] == pytest.approx(first["tokens"] / first["seconds"])
    assert first["clipped_norm"] <= first["gradient_norm"]
    assert rows[0]["device"] == "cpu" and rows[0]["dtype"] == "float32"


def test_an_epoch_sees_every_window_once():
    seen = []
    run = trainer(data=TRAIN.subset(range(36)), batch_size=2, accumulation=2)
    for step in range(9):
        run.step = step
        batches = [run.training_data.get_batch(place, 2, 42) for place in run.batch_positions()]
        seen += [tuple(row.tolist()) for x, _ in batches for row in x]
    assert sorted(seen) == sorted(tuple(row.tolist()) for row in TRAIN[:36][0])


LOOKS = [
    {"evaluate_every": 1},
    {"evaluate_batches": 1},
    {"sample_every": 1},
    {"checkpoint_every": 1},
    {"autosave_minutes": 1e-9},
    {"log_layers_every": 1},
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


MEASURED = ("seconds", "tokens_per_second", "utilization", "peak_memory", "peak_flops")


def without_times(rows):
    return [{name: v for name, v in row.items() if name not in MEASURED} for row in rows]


def test_metrics_written_after_the_checkpoint_are_cut_off(tmp_path):
    rows = trainer(tmp_path / "whole").train()
    trainer(tmp_path / "run").train(until=5)
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "loss": 1.0}\n{"step": 6, "lo')  # killed while writing
    resumed = trainer(tmp_path / "run").train(resume=True)
    assert without_times(resumed) == without_times(rows)


def test_the_best_checkpoint_is_kept_beside_the_newest(tmp_path, monkeypatch):
    losses = iter([9.0, 3.0, 1.0, 2.0, 2.0, 2.0])
    monkeypatch.setattr("gptlib.training.trainer.evaluate", lambda *_: next(losses))
    trainer(tmp_path / "run", evaluate_every=2, checkpoint_every=5).train()
    kept = [step_of(folder) for folder in checkpoints(tmp_path / "run")]
    assert kept == [4, 5, 10]  # step 4 was the best; step 2 was, until then
    assert load_checkpoint(tmp_path / "run").state["best_step"] == 4


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_text("".join(file.read_text().splitlines(keepends=True)[:-2])),
        lambda file: file.write_text(""),
        lambda file: file.write_text("{\n" + file.read_text()),
        lambda file: file.unlink(),
    ],
)
def test_metrics_are_never_worth_more_than_a_checkpoint(tmp_path, damage):
    whole, file = trainer(tmp_path / "whole"), tmp_path / "run" / "metrics.jsonl"
    rows = whole.train()
    trainer(tmp_path / "run").train(until=5)
    damage(file)
    before = file.read_text() if file.exists() else ""
    resumed = trainer(tmp_path / "run")
    with pytest.warns(UserWarning, match="has lost rows"):
        found = resumed.train(resume=True)
    assert resumed.model.state_dict().keys() == whole.model.state_dict().keys()
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name])
    assert without_times(found[:1]) == without_times(rows[:1])  # the run's setting
    assert without_times(found[-1:]) == without_times(rows[-1:])
    if before.startswith("{\n"):
        assert file.with_suffix(".damaged").read_text() == before


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
        ({"data": TRAIN.subset(range(30))}, "fingerprint of data"),
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


def test_metrics_are_one_json_object_a_line_and_old_keys_are_read(tmp_path):
    rows, file = trainer(tmp_path / "run").train(), tmp_path / "run" / "metrics.jsonl"
    assert [json.loads(line) for line in file.read_text().splitlines()] == rows
    with file.open("a") as out:
        out.write('{"step": 10, "layer_norms": {"block 1": 2.0}, "utilisation": 0.5}\n')
    now = {"step": 10, "gradient_norms": {"block 1": 2.0}, "utilization": 0.5}
    assert read_metrics(file)[-1] == now


@pytest.mark.parametrize("content", [None, '{"step": 0}\n{"st\n{"step": 2}\n', "7\n8\n"])
def test_damaged_metrics_are_named(tmp_path, content):
    if content:
        (tmp_path / "metrics.jsonl").write_text(content)
    with pytest.raises(CheckpointError, match="is damaged" if content else "no metrics in"):
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
    path = tmp_path / "{a} new {time} run" / "run.log"
    with log_to(path) as report:
        report("step 0: {fine}")
    assert path.read_text().count("\n") == 1
    assert capsys.readouterr().err.count("step 0: {fine}") == 1


# What goes wrong is named, and nothing is lost


def at_step(number, monkeypatch, action):
    """Let the loss of one step be what an action makes of it."""
    forward, calls = GPT.forward, []

    def loss(model, ids, targets=None):
        value = forward(model, ids, targets)
        calls.extend([1] * model.training)  # validation does not count
        due = model.training and len(calls) == number * TWICE.accumulation + 1
        return action(value) if due else value

    monkeypatch.setattr(GPT, "forward", loss)


def fail(error):
    def action(value):
        raise error

    return action


def stopped_by(trained, error, message):
    """Train to step 7, then into the trouble; the parameters must be those of step 7."""
    trained.train(until=7)
    before = [p.clone() for p in trained.model.parameters()]
    with pytest.raises(error, match=message):
        trained.train()
    assert equal(before, trained.model.parameters())


def test_a_loss_that_is_nan_names_its_step(monkeypatch):
    at_step(7, monkeypatch, lambda value: value * math.nan)
    stopped_by(trainer_of(None, TWICE), TrainingDiverged, "step 7: the loss is nan: lower")


def test_one_gradient_that_is_nan_names_its_step_and_tensor():
    trained = trainer_of(None, TWICE)
    spoil = trained.model.blocks[1].mlp.expand.weight.register_hook

    def nan_at_step_7(gradient):
        return gradient * math.nan if trained.step == 7 else gradient

    spoil(nan_at_step_7)
    stopped_by(trained, TrainingDiverged, r"step 7: .* blocks\.1\.mlp\.expand\.weight is not")


def test_an_id_outside_the_vocabulary_stops_before_anything_is_written(tmp_path):
    data = TokenDataset([*range(8), TINY.vocab_size], 8)
    with pytest.raises(TokenOutOfRange, match=f"token id {TINY.vocab_size} is outside"):
        Trainer(GPT(TINY), data, VALIDATION, TWICE, tmp_path / "run")
    assert not (tmp_path / "run").exists()


MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


@pytest.mark.parametrize("error", MEMORY, ids=["cuda", "cpu", "python"])
def test_out_of_memory_is_advice_with_numbers_and_the_checkpoint_stands(
    monkeypatch, tmp_path, error
):
    at_step(7, monkeypatch, fail(error))
    trained = trainer_of(tmp_path / "run", TWICE)
    with pytest.raises(GPTLibError) as caught:
        trained.train()
    assert str(caught.value) == (
        "step 7 ran out of memory with 4 windows of 8 tokens at a time: --batch-size 2 "
        "--accumulation 4 takes steps of the same size with half of them at a time; "
        "the checkpoint of step 5 is intact"
    )
    assert load_checkpoint(tmp_path / "run").state["step"] == 5


def test_where_a_batch_cannot_shrink_the_context_can(monkeypatch):
    at_step(0, monkeypatch, fail(MEMORY[0]))
    with pytest.raises(GPTLibError, match=r"--context-length 4\) or .*; none was saved"):
        trainer_of(None, TWICE.with_changes(batch_size=1)).train()


def test_a_lost_process_is_named_where_there_are_several(monkeypatch):
    lost = RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer")
    with pytest.raises(RuntimeError, match="closed by peer"), explained(7, TWICE, 8, 5):
        raise lost  # alone, it is something else
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    for rank, kept in ((0, "step 5 is intact"), (1, "the first process says which")):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        message = f"step 7: another process has ended: .*{kept}"
        with pytest.raises(GPTLibError, match=message), explained(7, TWICE, 8, 5):
            raise lost


def test_a_folder_is_trained_in_by_one_process_at_a_time(tmp_path):
    first, second = (trainer_of(tmp_path / "run", TWICE) for _ in range(2))
    with first.run.locked(), pytest.raises(FolderError, match="by another process: wait for it"):
        second.train(resume=True)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    second.train(until=1)
