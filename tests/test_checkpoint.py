"""Checkpoints: whole or refused. Every kind of damage is a named error, never a wrong model."""

import json
import os
import pickle
import shutil
import stat
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gptlib.training
from gptlib.config import GPTConfig, TrainingConfig
from gptlib.errors import CheckpointError
from gptlib.model import GPT
from gptlib.tokenizer import CharacterTokenizer
from gptlib.training import sealed
from gptlib.training.checkpoint import (
    checkpoints,
    load_checkpoint,
    load_model,
    restore_checkpoint,
    save_checkpoint,
)
from gptlib.training.optimizer import make_optimizer
from gptlib.training.sealed import hash_of_state, read_sealed
from gptlib.training.step import training_step

TINY = GPTConfig(vocab_size=5, context_length=4, n_layers=1, n_heads=1, width=4, dropout=0.0)
STATE = {"fingerprints": {"tokenizer": None, "data": "0"}}
FILES = ["model.safetensors", "optimizer.safetensors", "state.json"]


def trained(seed=0, config=TINY):
    """A model and its optimizer after one step."""
    model = GPT(config, seed=seed)
    optimizer = make_optimizer(model, TrainingConfig())
    ids = torch.randint(0, 5, (2, 5), generator=torch.Generator().manual_seed(seed))
    training_step(model, optimizer, [(ids[:, :-1], ids[:, 1:])], 1e-2, 1.0)
    return model, optimizer


def save(run, step=1, seed=0, **state):
    return save_checkpoint(run, *trained(seed), {**STATE, "step": step, **state})


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """One checkpoint, to be copied and damaged."""
    return save(tmp_path_factory.mktemp("run"))


def copy_of(intact, folder):
    place = folder / "checkpoints" / "step-00000001"
    shutil.copytree(intact, place)
    return place


def test_what_is_saved_comes_back_bit_for_bit(tmp_path):
    model, optimizer = trained()
    torch.manual_seed(5)
    folder = save_checkpoint(tmp_path, model, optimizer, {**STATE, "step": 1, "note": "وحد"})
    expected_draw = torch.rand(3)
    other, its_optimizer = trained(seed=1)
    checkpoint = load_checkpoint(folder)
    restore_checkpoint(checkpoint, other, its_optimizer)
    assert torch.equal(torch.rand(3), expected_draw)
    assert checkpoint.state["note"] == "وحد" and checkpoint.state["step"] == 1
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    mine, theirs = optimizer.state_dict()["state"], its_optimizer.state_dict()["state"]
    assert all(torch.equal(mine[i][key], theirs[i][key]) for i in mine for key in mine[i])


def test_the_folder_has_the_layout_of_the_design(intact):
    assert sorted(path.name for path in intact.iterdir()) == FILES
    state = json.loads((intact / "state.json").read_text())
    for name in FILES[:2]:
        assert state["files"][name]["bytes"] == (intact / name).stat().st_size
    assert state["model"] == TINY.to_dict()
    assert state["environment"]["torch"] == torch.__version__
    assert "ln_final.bias" in state["parameter_groups"][1]


def test_a_model_for_use_needs_no_optimizer(intact, tmp_path):
    copy_of(intact, tmp_path)
    for folder in (tmp_path, tmp_path / "checkpoints" / "step-00000001"):
        model, tokenizer = load_model(folder)
        assert tokenizer is None and not model.training
        expected = trained()[0].state_dict()
        assert all(torch.equal(expected[name], t) for name, t in model.state_dict().items())


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
    names = load_checkpoint(tmp_path).tensors["model.safetensors"]
    assert names.keys() == model.state_dict().keys()
    assert not any("_orig_mod" in name for name in names)


# Damage


def flip(content, place):
    place %= len(content)
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


DAMAGE = {
    "flip": flip,
    "truncate": lambda content, place: content[: place % len(content)],
    "append": lambda content, place: content + b"\0",
    "insert": lambda content, place: content[:place] + b"0" + content[place:],
    "empty": lambda content, place: b"",
}


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(FILES), st.sampled_from(sorted(DAMAGE)), st.integers(0, 10_000))
def test_any_change_of_any_file_is_refused(tmp_path_factory, file, kind, place):
    folder = copy_of(save(tmp_path_factory.mktemp("run")), tmp_path_factory.mktemp("copy"))
    content = (folder / file).read_bytes()
    changed = DAMAGE[kind](content, place)
    (folder / file).write_bytes(changed)
    if file == "state.json" and changed.strip() == content.strip():
        return
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_named(intact, tmp_path, file):
    folder = copy_of(intact, tmp_path)
    (folder / file).unlink()
    with pytest.raises(CheckpointError, match="no checkpoint|missing" if "json" in file else file):
        load_checkpoint(folder)


def test_an_added_file_is_named(intact, tmp_path):
    folder = copy_of(intact, tmp_path)
    (folder / "extra.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"extra\.bin"):
        load_checkpoint(folder)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("kind", ["symlink", "fifo", "folder"])
def test_only_plain_files_are_opened(intact, tmp_path, file, kind):
    folder = copy_of(intact, tmp_path)
    (folder / file).rename(tmp_path / file)
    if kind == "symlink":
        (folder / file).symlink_to(tmp_path / file)
    elif kind == "fifo":
        os.mkfifo(folder / file)  # opening it would wait for ever
    else:
        (folder / file).mkdir()
    with pytest.raises(CheckpointError, match="is not a plain file"):
        load_checkpoint(folder)


def reseal(folder, change):
    """Change a state as someone would who knows how its hash is made."""
    state = json.loads((folder / "state.json").read_text())
    del state["sha256"]
    change(state)
    (folder / "state.json").write_text(json.dumps({**state, "sha256": hash_of_state(state)}))


class Trap:
    """Would leave a mark if a pickle were read."""

    def __reduce__(self):
        return (Path.touch, (Path("pickle-was-read"),))


def test_a_pickle_under_our_name_is_not_unpickled(intact, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = copy_of(intact, tmp_path)
    content = pickle.dumps(Trap())
    facts = sealed.write_file(folder / "model.safetensors", content)
    reseal(folder, lambda state: state["files"].update({"model.safetensors": facts}))
    with pytest.raises(CheckpointError, match="is no safetensors file"):
        load_checkpoint(folder)
    assert not (tmp_path / "pickle-was-read").exists()


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd"])
def test_a_state_cannot_point_outside_its_folder(intact, tmp_path, name):
    folder = copy_of(intact, tmp_path)
    shutil.copy(folder / "model.safetensors", folder.parent)

    def point_outside(state):
        state["files"][name] = state["files"].pop("model.safetensors")

    reseal(folder, point_outside)
    with pytest.raises(CheckpointError, match="missing or added"):
        load_checkpoint(folder)


def test_another_format_or_version_is_named(intact, tmp_path):
    folder = copy_of(intact, tmp_path)
    reseal(folder, lambda state: state.update(version=2))
    with pytest.raises(CheckpointError, match=r"version 2, this gptlib reads .* version 1"):
        load_checkpoint(folder)


@pytest.mark.parametrize("changes", [{"width": 8}, {"n_layers": 2}, {"qkv_bias": False}])
def test_another_model_is_refused_before_anything_changes(intact, changes):
    model, optimizer = trained(config=GPTConfig.from_dict({**TINY.to_dict(), **changes}))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"the model|model that it was made from"):
        restore_checkpoint(load_checkpoint(intact), model, optimizer)
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())


# Falling back, keeping, writing


def test_the_one_before_stands_in_for_a_damaged_one_with_a_warning(tmp_path):
    save(tmp_path, step=1)
    newest = save(tmp_path, step=2)
    (newest / "model.safetensors").write_bytes(b"half a fi")
    with pytest.warns(UserWarning, match="step-00000002 is damaged"):
        assert load_checkpoint(tmp_path).state["step"] == 1


def test_all_damaged_is_an_error_not_a_fresh_start(tmp_path):
    for step in (1, 2):
        (save(tmp_path, step=step) / "state.json").unlink()
    with pytest.warns(UserWarning), pytest.raises(CheckpointError, match="all 2 checkpoints are"):
        load_checkpoint(tmp_path)


def test_a_folder_without_checkpoints_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint: train a model first"):
        load_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_model(tmp_path / "nowhere")


def test_the_two_newest_and_the_best_are_kept(tmp_path):
    for step in (1, 2, 3, 4, 5):
        save(tmp_path, step=step, best_step=2)
    steps = [folder.name for folder in checkpoints(tmp_path)]
    assert steps == ["step-00000002", "step-00000004", "step-00000005"]


def test_a_damaged_checkpoint_is_replaced_by_the_same_step(tmp_path):
    folder = save(tmp_path)
    (folder / "model.safetensors").write_bytes(b"")
    save(tmp_path)
    assert load_checkpoint(folder).state["step"] == 1
    assert os.listdir(tmp_path / "checkpoints") == ["step-00000001"]


@pytest.mark.parametrize("failing", ["write_file", "sync_folder"])
def test_a_failed_write_leaves_nothing_and_the_one_before(tmp_path, monkeypatch, failing):
    save(tmp_path, step=1)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sealed, failing, full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        save(tmp_path, step=2)
    assert os.listdir(tmp_path / "checkpoints") == ["step-00000001"]
    assert load_checkpoint(tmp_path).state["step"] == 1


def test_everything_is_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    calls = []
    fsync, rename = os.fsync, os.rename

    def record_fsync(handle):
        calls.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def record_rename(source, target):
        calls.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "rename", record_rename)
    save(tmp_path)
    assert calls == ["file", "file", "file", "folder", "rename", "folder"]


def test_a_reader_never_sees_a_part(tmp_path):
    save(tmp_path)
    part = tmp_path / "checkpoints" / ".step-00000002.abc.part"
    shutil.copytree(tmp_path / "checkpoints" / "step-00000001", part)
    assert [folder.name for folder in checkpoints(tmp_path)] == ["step-00000001"]


def test_state_is_read_alone_by_its_own_hash(intact):
    assert read_sealed(intact)[0] == sealed.read_state(intact)


def test_nothing_in_the_package_reads_pickles():
    package = Path(gptlib.training.__file__).parent.parent
    for path in package.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert "import pickle" not in source and "torch.load" not in source, path
