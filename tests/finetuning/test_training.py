"""The one trainer serves: it learns, resumes bit for bit, and keeps what is frozen."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_world import (
    CONFIG,
    KINDS,
    LABELS,
    QUESTIONS,
    of_kind,
    plain_model,
    plain_tokenizer,
    trainer_of,
)

from gptlib.classification import GPTClassifier, accuracy, confusion, load_classifier
from gptlib.errors import CheckpointError
from gptlib.finetuning import (
    IGNORED,
    AnsweringGPT,
    Example,
    ExampleDataset,
    add_special_tokens,
    answer,
)
from gptlib.model import GPT
from gptlib.training.checkpoint import load_model
from gptlib.training.evaluation import evaluate
from gptlib.training.metrics import curve, read_metrics
from gptlib.training.trainer import Trainer

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1")
SCRIPT = Path(__file__).with_name("tuned_by_two.py")


@pytest.mark.parametrize("kind", KINDS)
def test_5_and_5_steps_are_10_bit_for_bit(chat, tmp_path, kind):
    kept = {n: p.clone() for n, p in of_kind(kind, *chat)[0].named_parameters()}
    whole = trainer_of(kind, chat, None)
    whole.train()
    trainer_of(kind, chat, tmp_path / "run").train(until=5)
    resumed = trainer_of(kind, chat, tmp_path / "run")
    rows = resumed.train(resume=True)
    assert resumed.resumed_step == 5
    losses = [[row["loss"] for row in r if "loss" in row] for r in (whole.run.log.rows, rows)]
    assert losses[0] == losses[1] and len(losses[0]) == 10
    frozen = 0
    for name, parameter in whole.model.named_parameters():
        assert torch.equal(parameter, resumed.model.get_parameter(name)), name
        if not parameter.requires_grad:
            frozen += 1
            assert torch.equal(parameter, kept[name]), name
    assert (frozen > 0) == (kind not in ("answers", "everything"))


def test_it_learns_to_answer_and_the_run_opens_as_a_model(chat, tmp_path):
    base, tokenizer = chat
    model, data = of_kind("answers", base, tokenizer)
    config = CONFIG.with_changes(steps=120, evaluate_every=120, checkpoint_every=0)
    Trainer(model, data, data, config, tmp_path / "run", tokenizer).train()
    loaded, its_tokenizer = load_model(tmp_path / "run")
    assert type(loaded) is GPT
    for row in QUESTIONS:
        asked = Example(row["context"], [(row["question"], "")])
        assert answer(loaded, its_tokenizer, asked) == row["answer"]


def test_it_learns_labels_and_the_run_opens_with_them(chat, tmp_path):
    base, tokenizer = chat
    model, data = of_kind("everything", base, tokenizer)
    config = CONFIG.with_changes(steps=60, evaluate_every=60, checkpoint_every=0)
    Trainer(model, data, data, config, tmp_path / "run", tokenizer).train()
    loaded = load_classifier(tmp_path / "run")
    assert loaded.labels == LABELS
    assert torch.equal(confusion(loaded, data), confusion(model, data))
    assert accuracy(confusion(loaded, data)) == 1


def test_a_label_list_that_grew_is_refused(chat, tmp_path):
    base, tokenizer = chat
    model, data = of_kind("head", base, tokenizer)
    Trainer(model, data, data, CONFIG, tmp_path / "run", tokenizer).train(until=5)
    grown = GPTClassifier(copy.deepcopy(base), [*LABELS, "fruit"], "head")
    with pytest.raises(CheckpointError, match="use the model that it was made from"):
        Trainer(grown, data, data, CONFIG, tmp_path / "run", tokenizer).train(resume=True)


def test_a_run_of_a_writer_is_no_classifier(chat, tmp_path):
    base, tokenizer = chat
    model, data = of_kind("answers", base, tokenizer)
    Trainer(model, data, data, CONFIG, tmp_path / "run", tokenizer).train(until=1)
    with pytest.raises(CheckpointError, match="no classifier"):
        load_classifier(tmp_path / "run")


def test_validation_weighs_every_target_the_same(base, ids):
    """A batch with 2 targets and one with 8: the mean of 10, not of two means."""
    model, targets = AnsweringGPT(base), ids.roll(1, dims=1)
    ids, targets = ids.repeat(2, 1)[:4], targets.repeat(2, 1)[:4]  # (4, T)
    targets[:2, 1:], targets[2:, 4:] = IGNORED, IGNORED
    loss = evaluate(model, ExampleDataset(ids, targets), batch_size=2)
    assert loss == pytest.approx(model(ids, targets).item(), rel=1e-6)


def test_an_epoch_shows_each_example_once_and_batches_do_not_depend_on_the_past(chat):
    _, data = of_kind("head", *chat)
    x, _ = data.get_batch(0, len(data), seed=1)
    assert sorted(x.tolist()) == sorted(data[:][0].tolist())
    assert torch.equal(data.get_batch(4, 2, seed=1)[0], x[4:6])
    assert torch.equal(data.subset([3, 1])[:][0], data[[3, 1]][0])
    assert torch.equal(data[3][1], data[[3]][1][0])


def test_two_processes_have_the_losses_of_one(tmp_path):
    command = [sys.executable, *TORCHRUN, "--nproc-per-node=2", str(SCRIPT), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    tokenizer = plain_tokenizer()
    chat = add_special_tokens(plain_model(tokenizer), tokenizer)
    for kind in ("last block", "labels with LoRA", "answers"):
        alone = curve(trainer_of(kind, chat, None).train(), "loss")[1]
        together = curve(read_metrics(tmp_path / kind), "loss")[1]
        assert together == pytest.approx(alone, abs=1e-6), kind
