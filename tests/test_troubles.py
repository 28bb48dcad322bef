"""What goes wrong in a step: named, with its number and a way out, and nothing is lost."""

import math

import pytest
import torch
from small_run import CONFIG, TINY, TRAIN, VALIDATION, trainer_of

from gptlib.errors import (
    FolderError,
    GPTLibError,
    TokenOutOfRange,
    TrainingDiverged,
)
from gptlib.model import GPT
from gptlib.training import step as step_module
from gptlib.training.checkpoint import load_checkpoint
from gptlib.training.trainer import Trainer
from gptlib.training.troubles import named_step

pytestmark = pytest.mark.usefixtures("one_thread")


def at_step(number, monkeypatch, action):
    """Let the loss of one step be what an action makes of it."""
    true_loss, calls = step_module.next_token_loss, []

    def loss(model, x, y):
        calls.append(1)
        value = true_loss(model, x, y)
        return action(value) if len(calls) == number * CONFIG.accumulation + 1 else value

    monkeypatch.setattr(step_module, "next_token_loss", loss)


def fail(error):
    def action(value):
        raise error

    return action


def parameters_after(trained):
    return [p.clone() for p in trained.model.parameters()]


def stopped_by(trained, error, message):
    """Train to step 7, then into the trouble; the parameters must be those of step 7."""
    trained.train(until=7)
    before = parameters_after(trained)
    with pytest.raises(error, match=message):
        trained.train()
    assert all(torch.equal(a, b) for a, b in zip(before, trained.model.parameters(), strict=True))


def test_a_loss_that_is_nan_names_its_step(monkeypatch):
    at_step(7, monkeypatch, lambda value: value * math.nan)
    stopped_by(trainer_of(None, CONFIG), TrainingDiverged, "step 7: the loss is nan: lower")


def test_one_gradient_that_is_nan_names_its_step_and_tensor():
    trained = trainer_of(None, CONFIG)
    spoil = trained.model.blocks[1].mlp.expand.weight.register_hook

    def nan_at_step_7(gradient):
        return gradient * math.nan if trained.step == 7 else gradient

    spoil(nan_at_step_7)
    stopped_by(trained, TrainingDiverged, r"step 7: .* blocks\.1\.mlp\.expand\.weight is not")


def test_an_id_outside_the_vocabulary_stops_before_anything_is_written(tmp_path):
    x = TRAIN[0].clone()
    x[3, 2] = TINY.vocab_size
    with pytest.raises(TokenOutOfRange, match=f"token id {TINY.vocab_size} is outside"):
        Trainer(GPT(TINY), (x, TRAIN[1]), VALIDATION, CONFIG, tmp_path / "run")
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
    trained = trainer_of(tmp_path / "run", CONFIG)
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
        trainer_of(None, CONFIG.with_changes(batch_size=1)).train()


def test_a_lost_process_is_named_where_there_are_several(monkeypatch):
    lost = RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer")
    with pytest.raises(RuntimeError, match="closed by peer"), named_step(7, CONFIG, 8, 5):
        raise lost  # alone, it is something else
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    message = r"step 7: another process has ended: .* step 5 is intact"
    with pytest.raises(GPTLibError, match=message), named_step(7, CONFIG, 8, 5):
        raise lost


def test_a_folder_is_trained_in_by_one_process_at_a_time(tmp_path):
    first, second = (trainer_of(tmp_path / "run", CONFIG) for _ in range(2))
    with first.run.locked(), pytest.raises(FolderError, match="by another process: wait for it"):
        second.train(resume=True)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    second.train(until=1)
