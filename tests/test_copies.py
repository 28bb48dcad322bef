"""The second copy of a run: verified, never in the way of training, and good to go on from."""

import errno
import json
import os
import shutil
import stat

import pytest
from checkpoints import save

from gptlib.errors import CheckpointError
from gptlib.training import copies as module
from gptlib.training.checkpoint import load_checkpoint, load_model
from gptlib.training.copies import copy_run, fetch_run
from gptlib.training.sealed import verify_sealed


@pytest.fixture
def run(tmp_path):
    """A run of three checkpoints, of which the first is the best, and what lies beside them."""
    folder = tmp_path / "session" / "my-run"
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "tokenizer" / "characters.json").write_text('"abcde"')
    (folder / "settings.toml").write_text("steps = 3\n")
    (folder / ".lock").write_text("")
    write_metrics(folder, 3)
    for step in (1, 2, 3):
        save(folder, step=step, seed=step, best_step=1)
    return folder


@pytest.fixture
def drive(tmp_path):
    """A mounted folder, and in it the one for copies, which is not there yet."""
    (tmp_path / "drive").mkdir()
    return tmp_path / "drive" / "copies"


def write_metrics(folder, steps, seed=1):
    rows = [{"training": {"seed": seed}}, *({"step": step, "loss": 1.0} for step in range(steps))]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def content(folder):
    """Every file below a folder with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def names(folder):
    return sorted(os.listdir(folder / "checkpoints"))


def flip(path):
    changed = bytearray(path.read_bytes())
    changed[len(changed) // 2] ^= 1
    path.write_bytes(changed)


# To the copy


def test_the_copy_holds_newest_and_best_and_what_they_need(run, drive):
    assert copy_run(run, drive)
    expected = content(run)
    kept = {
        name: text for name, text in expected.items() if "00000002" not in name and name != ".lock"
    }
    assert content(drive / "my-run") == kept


def test_the_copy_rotates_as_the_run_does(run, drive):
    for step in (3, 4, 5, 6):
        save(run, step=step, best_step=1)
        assert copy_run(run, drive)
    assert names(drive / "my-run") == ["step-00000001", "step-00000005", "step-00000006"]


def test_what_is_there_already_is_not_copied_again(run, drive):
    assert copy_run(run, drive)
    before = {path: path.stat().st_mtime_ns for path in drive.rglob("*.safetensors")}
    assert copy_run(run, drive)
    assert before == {path: path.stat().st_mtime_ns for path in drive.rglob("*.safetensors")}


@pytest.mark.parametrize("file", ["model.safetensors", "state.json"])
def test_half_a_copy_is_replaced(run, drive, file):
    assert copy_run(run, drive)
    broken = drive / "my-run" / "checkpoints" / "step-00000003"
    (broken / file).write_bytes(b"half")
    assert copy_run(run, drive)
    assert content(broken) == content(run / "checkpoints" / "step-00000003")


def test_what_an_interrupted_copy_left_is_removed(run, drive):
    assert copy_run(run, drive)
    place = drive / "my-run" / "checkpoints"
    shutil.copytree(place / "step-00000003", place / ".step-00000004.01234567.part")
    assert copy_run(run, drive)
    assert names(drive / "my-run") == ["step-00000001", "step-00000003"]


def test_bytes_that_arrive_altered_are_never_given_a_name(run, drive, monkeypatch):
    copy_file = module.copy_file

    def altered(source, target):
        copy_file(source, target)
        if target.name == "model.safetensors":
            flip(target)

    monkeypatch.setattr(module, "copy_file", altered)
    with pytest.warns(UserWarning, match=r"no copy of .*model\.safetensors was altered"):
        assert not copy_run(run, drive)
    assert names(drive / "my-run") == []


TROUBLES = [errno.EIO, errno.ENOSPC, errno.ENOTCONN, errno.EACCES]


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("call", ["fsync", "rename", "replace", "mkdir"])
def test_a_mount_that_fails_is_one_line_of_warning(run, drive, monkeypatch, call, trouble):
    before = content(run)

    def fail(*arguments, **options):
        raise OSError(trouble, os.strerror(trouble))

    monkeypatch.setattr(os, call, fail)
    with pytest.warns(UserWarning) as caught:
        assert not copy_run(run, drive)
    assert len(caught) == 1 and "\n" not in str(caught[0].message)
    assert str(caught[0].message).startswith(f"no copy of {run} in {drive}: ")
    assert content(run) == before


@pytest.mark.parametrize("answer", [errno.EINVAL, errno.ENOTSUP])
def test_a_mount_may_not_know_how_to_sync_a_folder(run, drive, monkeypatch, answer):
    synced = os.fsync

    def files_only(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(answer, os.strerror(answer))
        synced(handle)

    monkeypatch.setattr(os, "fsync", files_only)
    assert copy_run(run, drive)
    save(run, step=4)


def test_a_folder_that_did_not_reach_the_disk_is_no_copy(run, drive, monkeypatch):
    def fail(folder):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(module, "sync_folder", fail)
    with pytest.warns(UserWarning, match=r"no copy of .* Input/output error"):
        assert not copy_run(run, drive)
    assert names(drive / "my-run") == []


def test_a_drive_that_is_not_mounted_gets_no_copy_in_its_place(run, tmp_path):
    with pytest.warns(UserWarning, match="no copy of"):
        assert not copy_run(run, tmp_path / "not mounted" / "copies")
    assert not (tmp_path / "not mounted").exists()


def test_another_run_of_the_same_name_is_not_written_over(run, drive):
    assert copy_run(run, drive)
    before = content(drive)
    write_metrics(run, 9, seed=2)
    save(run, step=9)
    with pytest.warns(UserWarning, match="holds another run: rename it"):
        assert not copy_run(run, drive)
    assert content(drive) == before


def test_a_copy_that_is_further_on_is_not_written_over(run, drive):
    assert copy_run(run, drive)
    before = content(drive)
    shutil.rmtree(run / "checkpoints" / "step-00000003")
    with pytest.warns(UserWarning, match="step-00000003 is further on than step 2"):
        assert not copy_run(run, drive)
    assert content(drive) == before


def test_the_run_is_not_its_own_copy(run):
    before = content(run)
    with pytest.warns(UserWarning, match="that is the run itself"):
        assert not copy_run(run, run.parent)
    assert content(run) == before


def test_a_run_without_checkpoints_needs_no_copy(tmp_path, drive):
    (tmp_path / "empty").mkdir()
    assert not copy_run(tmp_path / "empty", drive) and not drive.exists()


# And back


def test_a_run_comes_back_as_it_was(run, drive, tmp_path):
    copy_run(run, drive)
    back = tmp_path / "next session" / "my-run"
    assert fetch_run(back, drive)
    assert content(back) == content(drive / "my-run")
    assert load_checkpoint(back).state["step"] == 3 and load_model(back)


def test_a_run_that_has_checkpoints_is_left_as_it_is(run, drive):
    copy_run(run, drive)
    for step in (1, 3):
        shutil.rmtree(run / "checkpoints" / f"step-0000000{step}")
    before = content(run)
    assert not fetch_run(run, drive) and content(run) == before


def test_without_a_copy_there_is_nothing_to_fetch(tmp_path, drive):
    assert not fetch_run(tmp_path / "my-run", drive)
    assert not (tmp_path / "my-run").exists()


def test_a_drive_that_is_not_mounted_is_an_error_not_a_fresh_start(tmp_path):
    with pytest.raises(CheckpointError, match="is not there: mount it"):
        fetch_run(tmp_path / "my-run", tmp_path / "not mounted" / "copies")


def test_a_damaged_copy_is_not_brought_back_and_the_one_before_is(run, drive, tmp_path):
    copy_run(run, drive)
    flip(drive / "my-run" / "checkpoints" / "step-00000003" / "optimizer.safetensors")
    back = tmp_path / "back" / "my-run"
    with pytest.warns(UserWarning, match="step-00000003 was not brought back: .* was altered"):
        assert fetch_run(back, drive)
    assert names(back) == ["step-00000001"] and load_checkpoint(back).state["step"] == 1


def test_a_copy_all_damaged_is_an_error_not_a_fresh_start(run, drive, tmp_path):
    copy_run(run, drive)
    for path in drive.rglob("state.json"):
        flip(path)
    with pytest.warns(UserWarning), pytest.raises(CheckpointError, match=r"all 2 .* are damaged"):
        fetch_run(tmp_path / "back" / "my-run", drive)


def test_a_mount_that_fails_while_fetching_is_an_error_not_an_older_checkpoint(
    run, drive, tmp_path, monkeypatch
):
    copy_run(run, drive)
    copy_file = module.copy_file

    def fail_at_the_newest(source, target):
        if source.parent.name == "step-00000003":
            raise OSError(errno.EIO, "Input/output error")
        copy_file(source, target)

    monkeypatch.setattr(module, "copy_file", fail_at_the_newest)
    with pytest.raises(CheckpointError, match=r"could not be brought back .*repeat the command"):
        fetch_run(tmp_path / "back" / "my-run", drive)


def test_fetching_begins_with_the_newest_so_that_a_kill_leaves_the_one_to_go_on_from(
    run, drive, tmp_path, monkeypatch
):
    copy_run(run, drive)
    order = []
    copy_checkpoint = module.copy_checkpoint

    def record(folder, run_folder):
        order.append(folder.name)
        assert (run_folder / "metrics.jsonl").exists()
        copy_checkpoint(folder, run_folder)

    monkeypatch.setattr(module, "copy_checkpoint", record)
    fetch_run(tmp_path / "back" / "my-run", drive)
    assert order == ["step-00000003", "step-00000001"]


def test_a_copy_whose_replacement_was_interrupted_is_found(run, drive, tmp_path):
    copy_run(run, drive)
    place = drive / "my-run" / "checkpoints"
    (place / "step-00000003").rename(place / ".step-00000003.01234567.old")
    back = tmp_path / "back" / "my-run"
    assert fetch_run(back, drive)
    verify_sealed(back / "checkpoints" / "step-00000003")
