"""Checkpoints of models: all that comes back, and nothing that belongs to another model."""

import json
import shutil

import pytest
import torch
from checkpoints import FILES, STATE, TINY, reseal, save, trained

from gptlib.config import GPTConfig
from gptlib.errors import CheckpointError
from gptlib.tokenizer import CharacterTokenizer
from gptlib.training.checkpoint import (
    load_checkpoint,
    load_model,
    restore_checkpoint,
    save_checkpoint,
)


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """One checkpoint, to be copied and damaged."""
    return save(tmp_path_factory.mktemp("run"))


def copy_of(intact, run):
    place = run / "checkpoints" / intact.name
    shutil.copytree(intact, place)
    return place


def test_what_is_saved_comes_back_bit_for_bit(tmp_path):
    model, optimizer = trained()
    folder = save_checkpoint(tmp_path, model, optimizer, {**STATE, "step": 1, "note": "وحد"})
    other, its_optimizer = trained(seed=1)
    checkpoint = load_checkpoint(folder)
    restore_checkpoint(checkpoint, other, its_optimizer)
    assert checkpoint.state["note"] == "وحد" and checkpoint.state["step"] == 1
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    mine, theirs = optimizer.state_dict()["state"], its_optimizer.state_dict()["state"]
    assert all(torch.equal(mine[i][key], theirs[i][key]) for i in mine for key in mine[i])


def test_saving_and_loading_draw_no_random_number(tmp_path):
    model, optimizer = trained()
    before = torch.get_rng_state()
    folder = save_checkpoint(tmp_path, model, optimizer, {**STATE, "step": 1})
    restore_checkpoint(load_checkpoint(folder), model, optimizer)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_folder_has_the_layout_of_the_design(intact):
    assert sorted(path.name for path in intact.iterdir()) == FILES
    state = json.loads((intact / "state.json").read_text())
    for name in FILES[:2]:
        assert state["files"][name]["bytes"] == (intact / name).stat().st_size
    assert state["model"] == TINY.to_dict()
    assert "ln_final.bias" in state["parameter_groups"][1]
    assert "random_states" not in state


def test_a_model_for_use_needs_no_optimizer(intact, tmp_path):
    folder = copy_of(intact, tmp_path)
    content = bytearray((folder / FILES[1]).read_bytes())
    content[-1] ^= 1  # altered: it is not even read
    (folder / FILES[1]).write_bytes(content)
    for place in (tmp_path, folder):
        model, tokenizer = load_model(place)
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


# What is refused


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_model_that_is_lost_does_not_push_out_one_that_is_not(tmp_path, value):
    save(tmp_path, step=1)
    model, optimizer = trained()
    with torch.no_grad():
        model.blocks[0].ln_2.bias[2] = value
    with pytest.raises(CheckpointError, match=r"step 2: blocks\.0\.ln_2\.bias holds NaN or inf"):
        save_checkpoint(tmp_path, model, optimizer, {**STATE, "step": 2})
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]


CHANGES = [{"width": 8}, {"n_layers": 2}, {"qkv_bias": False}, {"vocab_size": 6}]


@pytest.mark.parametrize("changes", CHANGES)
def test_another_model_is_refused_before_anything_changes(intact, changes):
    model, optimizer = trained(config=GPTConfig.from_dict({**TINY.to_dict(), **changes}))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"the model|model that it was made from"):
        restore_checkpoint(load_checkpoint(intact), model, optimizer)
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())


def test_moments_of_another_shape_are_refused_before_the_model_changes(tmp_path):
    model, optimizer = trained()
    state = optimizer.state[model.ln_final.bias]
    state["exp_avg"] = state["exp_avg"].double()
    folder = save_checkpoint(tmp_path, model, optimizer, {**STATE, "step": 1})
    other, its_optimizer = trained(seed=1)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"ln_final\.bias\.exp_avg is \(4,\) torch\.float64"):
        restore_checkpoint(load_checkpoint(folder), other, its_optimizer)
    assert all(torch.equal(before[name], t) for name, t in other.state_dict().items())


def forget(state):
    state.clear()


def remember_more(state):
    state["max_exp_avg_sq"] = torch.zeros(4)


@pytest.mark.parametrize("change", [forget, remember_more])
def test_moments_too_few_or_too_many_are_refused_before_the_model_changes(tmp_path, change):
    model, optimizer = trained()
    change(optimizer.state[model.ln_final.bias])
    folder = save_checkpoint(tmp_path, model, optimizer, {**STATE, "step": 1})
    other, its_optimizer = trained(seed=1)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"missing or unknown tensors \(ln_final\.bias\."):
        restore_checkpoint(load_checkpoint(folder), other, its_optimizer)
    assert all(torch.equal(before[name], t) for name, t in other.state_dict().items())


LACKING = ["step", "model", "parameter_groups", "fingerprints", "files"]


@pytest.mark.parametrize("key", LACKING)
def test_a_state_that_lacks_what_it_must_say_is_damaged_though_its_seal_is_right(
    intact, tmp_path, key
):
    folder = copy_of(intact, tmp_path)
    reseal(folder, lambda state: state.pop(key))
    with pytest.raises(CheckpointError, match=f"lacks '{key}'|lists no files"):
        load_checkpoint(folder)
    reseal(folder, lambda state: state.update({key: "words"}))
    with pytest.raises(CheckpointError, match=f"gives 'words' as {key}|lists no files"):
        load_checkpoint(folder)


SHAPES = [{"width": "x"}, {"dropout": "x"}, {"wings": 2}, {"vocab_size": -1}, {"n_heads": None}]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_model_without_a_shape_is_damaged(intact, tmp_path, shape):
    folder = copy_of(intact, tmp_path)
    reseal(folder, lambda state: state["model"].update(shape))
    with pytest.raises(CheckpointError, match="its model has no shape"):
        load_model(folder)


def test_a_checkpoint_under_the_name_of_another_step_is_named(intact, tmp_path):
    folder = copy_of(intact, tmp_path)
    renamed = folder.rename(folder.with_name("step-00000007"))
    with pytest.raises(CheckpointError, match="it is step 1, renamed"):
        load_checkpoint(renamed)
    elsewhere = renamed.rename(tmp_path / "best")
    assert load_checkpoint(elsewhere).state["step"] == 1


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_named(intact, tmp_path, file):
    folder = copy_of(intact, tmp_path)
    (folder / file).unlink()
    with pytest.raises(CheckpointError, match=f"step-00000001 is damaged: .*{file}"):
        load_checkpoint(folder)


@pytest.mark.parametrize("file", FILES[:2])
def test_a_state_that_knows_nothing_of_a_file_is_damaged(intact, tmp_path, file):
    folder = copy_of(intact, tmp_path)
    (folder / file).unlink()
    reseal(folder, lambda state: state["files"].pop(file))
    with pytest.raises(CheckpointError, match=f"it has no {file}"):
        load_checkpoint(folder)


# Falling back


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


def test_a_damaged_checkpoint_is_replaced_by_the_same_step(tmp_path):
    folder = save(tmp_path)
    (folder / "model.safetensors").write_bytes(b"")
    save(tmp_path)
    assert load_checkpoint(folder).state["step"] == 1
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]
