"""Checkpoints: all that was saved comes back, or a named error; never another model's numbers."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from checkpoints import FILES, STATE, TINY, same, save, trained
from damage import mutations, rewrite
from small_run import CONFIG, trainer_of

from gptlib import files
from gptlib.config import GPTConfig
from gptlib.errors import CheckpointError, FolderError
from gptlib.files import file_facts
from gptlib.tokenizer import CharacterTokenizer
from gptlib.training import checkpoint as module
from gptlib.training.checkpoint import (
    checkpoints,
    load_checkpoint,
    load_model,
    restore_checkpoint,
    save_checkpoint,
)
from gptlib.training.optimizer import moments
from gptlib.training.run import remove_leftovers

BIAS = "blocks.0.ln_2.bias"


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """One checkpoint, to be copied and damaged."""
    return save(tmp_path_factory.mktemp("run"))


@pytest.fixture
def copy(intact, tmp_path):
    return Path(shutil.copytree(intact, tmp_path / "checkpoints" / intact.name))


def names(run):
    return sorted(os.listdir(run / "checkpoints"))


def numbers(model, optimizer):
    """All that a checkpoint holds of a model and its optimizer, copied."""
    held = {"model": model.state_dict(), "optimizer": moments(optimizer)}
    return {what: {name: t.clone() for name, t in named.items()} for what, named in held.items()}


# What is kept


@pytest.mark.parametrize("frozen", [(), (BIAS, "token_embedding.weight")], ids=["all", "frozen"])
def test_what_is_saved_comes_back_bit_for_bit(tmp_path, frozen):
    (model, optimizer), other = trained(frozen=frozen), trained(seed=1, frozen=frozen)
    before = torch.get_rng_state()
    folder = save_checkpoint(tmp_path, model, optimizer, {**STATE, "step": 1, "note": "وحد"})
    checkpoint = load_checkpoint(folder)
    restore_checkpoint(checkpoint, *other)
    assert checkpoint.state["note"] == "وحد" and checkpoint.state["step"] == 1
    assert same(numbers(model, optimizer), numbers(*other))
    assert sum(BIAS in name for name in moments(other[1])) == (0 if frozen else 3)
    assert torch.equal(torch.get_rng_state(), before)  # no random number was drawn


def test_a_run_with_frozen_parameters_goes_on_bit_for_bit(tmp_path):
    def frozen_trainer(folder):
        trainer = trainer_of(folder, CONFIG.with_changes(steps=6))
        for parameter in (*trainer.model.blocks[0].parameters(), trainer.model.ln_final.bias):
            parameter.requires_grad = False
        return trainer

    whole, resumed = frozen_trainer(tmp_path / "whole"), frozen_trainer(tmp_path / "halves")
    whole.train()
    frozen_trainer(tmp_path / "halves").train(until=3)
    resumed.train(resume=True)
    assert resumed.resumed_step == 3
    assert same(numbers(whole.model, whole.optimizer), numbers(resumed.model, resumed.optimizer))


def test_the_folder_has_the_layout_of_the_design(intact):
    assert sorted(path.name for path in intact.iterdir()) == FILES
    state = json.loads((intact / "state.json").read_text())
    assert state["files"] == {name: file_facts(intact / name) for name in FILES[:2]}
    assert state["model"] == TINY.to_dict() and "ln_final.bias" in state["parameter_groups"][1]


def test_a_checkpoint_of_another_version_is_named(copy):
    """One of this version that was written long ago is opened by ``test_goldens.py``."""
    rewrite(copy / "state.json", lambda state: state.update(version=2))
    with pytest.raises(CheckpointError, match=r"'version': 2.* use the gptlib that wrote it"):
        load_checkpoint(copy)


def test_a_model_for_use_needs_no_optimizer(copy, tmp_path):
    content = bytearray((copy / FILES[1]).read_bytes())
    content[-1] ^= 1  # altered: it is not even read
    (copy / FILES[1]).write_bytes(content)
    for place in (tmp_path, copy):
        model, tokenizer = load_model(place)
        assert tokenizer is None and not model.training
        assert same({"": model.state_dict()}, {"": trained()[0].state_dict()})


def test_the_tokenizer_comes_with_the_model_and_must_be_its_own(tmp_path):
    tokenizer, other = (CharacterTokenizer.train(text) for text in ("abcde", "fghij"))
    tokenizer.save(tmp_path / "tokenizer")
    save(tmp_path, fingerprints={"tokenizer": tokenizer.fingerprint, "data": "0"})
    assert load_model(tmp_path)[1].encode("cab") == tokenizer.encode("cab")
    shutil.rmtree(tmp_path / "tokenizer")
    other.save(tmp_path / "tokenizer")
    with pytest.raises(CheckpointError, match="is not the tokenizer of step-00000001"):
        load_model(tmp_path)


def test_a_compiled_model_is_saved_under_clean_names(tmp_path):
    model, optimizer = trained()
    compiled = torch.compile(model)  # lazy: nothing is compiled before the first call
    save_checkpoint(tmp_path, compiled, optimizer, {**STATE, "step": 1})
    found = load_checkpoint(tmp_path).tensors["model.safetensors"]
    assert found.keys() == model.state_dict().keys()


MEMORY = """
import sys, threading, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from checkpoints import STATE, trained
from gptlib.config import GPTConfig
from gptlib.training.checkpoint import save_checkpoint
config = GPTConfig(vocab_size=5_000, context_length=8, n_layers=4, n_heads=8, width=512)
model, optimizer = trained(config=config)
optimizer.zero_grad()
def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon"))
save_checkpoint(Path({run!r}), model, optimizer, {{**STATE, "step": 1}})
seen, done = [anonymous()], threading.Event()
def watch():
    while not done.wait(0.001):
        seen.append(anonymous())
watcher = threading.Thread(target=watch)
watcher.start()
save_checkpoint(Path({run!r}), model, optimizer, {{**STATE, "step": 2}})
done.set()
watcher.join()
print(max(seen) - seen[0], sum(p.nbytes for p in model.parameters()), len(seen))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux keeps the record")
def test_saving_takes_no_memory_for_a_copy_of_the_model(tmp_path):
    script = MEMORY.format(tests=str(Path(__file__).parents[1]), run=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    risen, model, looks = map(int, done.stdout.split())
    assert model > 60e6 and looks > 20 and risen < model / 10, done.stderr


# What stays on the disk


def test_the_two_newest_and_the_best_are_kept(tmp_path):
    for step in (1, 2, 3, 4, 5):
        save(tmp_path, step=step, best_step=2)
    assert names(tmp_path) == ["step-00000002", "step-00000004", "step-00000005"]


def test_checkpoints_are_in_the_order_of_their_steps_and_nothing_else_is_one(tmp_path):
    for name in ("step-123456789", "step-00000020", "step-abcdefgh", "step-1", "best", ".step-7"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000020", "step-123456789"]


def test_steps_after_the_one_just_written_are_not_counted_among_the_newest(tmp_path):
    for step in (1, 2, 8, 9):
        save(tmp_path, step=step, best_step=1)
    for step in (8, 9):
        (tmp_path / "checkpoints" / f"step-{step:08d}" / "state.json").unlink()
    save(tmp_path, step=3)
    assert names(tmp_path)[:2] == ["step-00000001", "step-00000003"]
    save(tmp_path, step=8, seed=8)  # a damaged one of the same step gives way
    assert load_checkpoint(tmp_path / "checkpoints" / "step-00000008").state["step"] == 8


def test_what_cannot_be_deleted_is_a_warning_and_the_new_one_is_there(tmp_path, monkeypatch):
    def refuse(folder):
        raise OSError(13, "Permission denied")

    for step in (1, 2):
        save(tmp_path, step=step)
    monkeypatch.setattr(files, "delete_folder", refuse)
    with pytest.warns(UserWarning, match="step-00000001 could not be deleted"):
        save(tmp_path, step=3)
    assert load_checkpoint(tmp_path).state["step"] == 3


def test_what_a_killed_session_left_is_removed_and_nothing_else(intact, copy, tmp_path):
    for name in (
        ".step-00000001.part",
        ".step-00000001.old",  # the new one has its name already
        ".step-00000005.old",  # it had just given way, and comes back
        ".step-00000002.0123abcd.gone",  # as the first version of the package named them
    ):
        shutil.copytree(intact, copy.with_name(name))
    for name in (".metrics.jsonl.0123abcd.part", "tokenizer/.vocab.json.0123abcd.part"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("half a fi")
    (tmp_path / "checkpoints" / ".notes").mkdir()
    (copy.with_name(".step-00000003.part")).symlink_to(intact)
    remove_leftovers(tmp_path)
    left = [".notes", ".step-00000003.part", "step-00000001", "step-00000005"]
    assert names(tmp_path) == left and load_checkpoint(intact)
    assert sorted(os.listdir(tmp_path)) == ["checkpoints", "tokenizer"]
    assert os.listdir(tmp_path / "tokenizer") == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_model_that_is_lost_does_not_push_out_one_that_is_not(tmp_path, value):
    save(tmp_path, step=1)
    model, optimizer = trained()
    with torch.no_grad():
        model.blocks[0].ln_2.bias[2] = value
    with pytest.raises(CheckpointError, match=rf"step 2: {BIAS} holds NaN or inf"):
        save_checkpoint(tmp_path, model, optimizer, {**STATE, "step": 2})
    assert names(tmp_path) == ["step-00000001"]
    with torch.no_grad():
        model.blocks[0].ln_2.bias[:] = 3e38  # finite, though their sum is not
    assert save_checkpoint(tmp_path, model, optimizer, {**STATE, "step": 2})


FAILING = [(module, "save_file"), (files, "file_facts"), (files, "write_manifest")]


@pytest.mark.parametrize("owner, name", FAILING, ids=["tensors", "hashes", "state"])
def test_a_disk_that_is_full_leaves_nothing_and_the_one_before(tmp_path, monkeypatch, owner, name):
    save(tmp_path, step=1)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(owner, name, full)
    with pytest.raises(FolderError, match=r"step-00000002 could not be .*No space left on device"):
        save(tmp_path, step=2)
    assert names(tmp_path) == ["step-00000001"]
    assert load_checkpoint(tmp_path).state["step"] == 1


def test_without_room_nothing_is_begun_and_the_numbers_are_named(tmp_path, monkeypatch):
    model, optimizer = trained(frozen=[BIAS])
    learned = sum(p.numel() for p in model.parameters()) - 4
    needed = 1.05 * 4 * (3 * learned + 4)  # bytes: parameters, and moments of those that learn
    free = {"bytes": needed - 1}
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free["bytes"]))
    message = r"has 0\.0 MB free, a checkpoint needs 0\.0 MB: make room there or choose another"
    with pytest.raises(CheckpointError, match=message):
        save_checkpoint(tmp_path / "run", model, optimizer, {**STATE, "step": 1})
    assert os.listdir(tmp_path) == []
    free["bytes"] = needed
    assert save_checkpoint(tmp_path / "run", model, optimizer, {**STATE, "step": 1})


def test_a_run_without_room_for_a_checkpoint_ends_before_its_first_step(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage)
    with pytest.raises(CheckpointError, match=r"run has 0\.0 MB free, a checkpoint needs"):
        trainer_of(tmp_path / "run", CONFIG)
    assert os.listdir(tmp_path) == []


# What is refused


def test_two_hundred_damages_are_refused_and_the_one_before_stands_in(tmp_path):
    before, newest = save(tmp_path, step=1, seed=1), save(tmp_path, step=2, seed=2)
    expected = load_checkpoint(before).tensors
    assert not same(expected, load_checkpoint(newest).tensors)
    for file, kind in mutations(newest, FILES):
        with pytest.raises(CheckpointError, match=f"is damaged: .*{file}") as caught:
            load_checkpoint(newest)
        assert "\n" not in str(caught.value), (file, kind)
        with pytest.warns(UserWarning, match="step-00000002 is damaged.*the one before"):
            found = load_checkpoint(tmp_path)
        assert found.state["step"] == 1 and same(found.tensors, expected)
    assert load_checkpoint(tmp_path).state["step"] == 2


def test_all_damaged_is_an_error_not_a_fresh_start(tmp_path):
    trainer_of(tmp_path, CONFIG.with_changes(steps=2)).train()
    (checkpoints(tmp_path)[0] / "state.json").unlink()
    for use in (load_checkpoint, load_model):
        with pytest.warns(UserWarning), pytest.raises(CheckpointError, match="all 1 checkpoints"):
            use(tmp_path)
    with pytest.warns(UserWarning), pytest.raises(CheckpointError, match="all 1 checkpoints are"):
        trainer_of(tmp_path, CONFIG.with_changes(steps=2)).train(resume=True)


def test_a_model_without_a_run_is_named_and_its_way_out(tmp_path):
    trainer = trainer_of(tmp_path, CONFIG)
    state = {"fingerprints": trainer.run.fingerprints, "step": 0}
    save_checkpoint(tmp_path, trainer.model, trainer.optimizer, state)
    with pytest.raises(CheckpointError, match="a model without a run: export it, and begin a run"):
        trainer.train(resume=True)


def test_a_folder_without_checkpoints_is_named(tmp_path):
    for use in (load_checkpoint, load_model):
        with pytest.raises(CheckpointError, match="no checkpoint: train a model first"):
            use(tmp_path / "nowhere")


def test_a_checkpoint_under_the_name_of_another_step_is_named(copy, tmp_path):
    renamed = copy.rename(copy.with_name("step-00000007"))
    with pytest.raises(CheckpointError, match="it is step 1, renamed"):
        load_checkpoint(renamed)
    assert load_checkpoint(renamed.rename(tmp_path / "best")).state["step"] == 1


class Trap:
    """Would leave a mark if a pickle were read."""

    def __reduce__(self):
        return (Path.touch, (Path("pickle-was-read"),))


def test_a_pickle_under_our_name_is_not_unpickled(copy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (copy / FILES[0]).write_bytes(pickle.dumps(Trap()))
    facts = file_facts(copy / FILES[0])
    rewrite(copy / "state.json", lambda state: state["files"].update({FILES[0]: facts}))
    with pytest.raises(CheckpointError, match=r"step-00000001 is damaged: .*deserializ"):
        load_checkpoint(copy)
    assert not (tmp_path / "pickle-was-read").exists()


def forget(state):
    del state["exp_avg"]


def remember_more(state):
    state["max_exp_avg_sq"] = torch.zeros(4)


def remember_finer(state):
    state["exp_avg"] = state["exp_avg"].double()


OTHERS = {
    "width": ({"width": 8}, None, r"is \(.*4.*\) torch.float32, in the model \(.*8"),
    "layers": ({"n_layers": 2}, None, r"blocks\.1\..* is missing, in the model"),
    "biases": ({"qkv_bias": False}, None, r"qkv\.bias is .* in the model missing"),
    "vocabulary": ({"vocab_size": 6}, None, r"token_embedding.weight is \(5, 4\).*\(6, 4\)"),
    "a moment too few": ({}, forget, r"ln_final\.bias\.exp_avg is missing"),
    "a moment too many": ({}, remember_more, r"bias\.max_exp_avg_sq is .* in the model missing"),
    "finer moments": ({}, remember_finer, r"ln_final\.bias\.exp_avg is \(4,\) torch\.float64"),
}


@pytest.mark.parametrize("changes, spoil, words", OTHERS.values(), ids=OTHERS)
def test_another_model_is_refused_before_anything_changes(tmp_path, changes, spoil, words):
    model, optimizer = trained()
    if spoil:
        spoil(optimizer.state[model.ln_final.bias])
    folder = save_checkpoint(tmp_path, model, optimizer, {**STATE, "step": 1})
    other = trained(seed=1, config=GPTConfig.from_dict({**TINY.to_dict(), **changes}))
    before = numbers(*other)
    with pytest.raises(CheckpointError, match=words):
        restore_checkpoint(load_checkpoint(folder), *other)
    assert same(numbers(*other), before)
