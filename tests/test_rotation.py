"""Which checkpoints stay, and what becomes of the leftovers of a killed session."""

import os
import shutil

import pytest
from checkpoints import save

from gptlib.errors import CheckpointError
from gptlib.training import rotation, sealing
from gptlib.training.checkpoint import load_checkpoint
from gptlib.training.rotation import checkpoints, clean_up
from gptlib.training.sealed import verify_sealed


def names(run):
    return sorted(os.listdir(run / "checkpoints"))


def test_the_two_newest_and_the_best_are_kept(tmp_path):
    for step in (1, 2, 3, 4, 5):
        save(tmp_path, step=step, best_step=2)
    assert names(tmp_path) == ["step-00000002", "step-00000004", "step-00000005"]


def test_checkpoints_are_in_the_order_of_their_steps_and_nothing_else_is_one(tmp_path):
    place = tmp_path / "checkpoints"
    for name in ("step-123456789", "step-00000020", "step-abcdefgh", "step-1", "best"):
        (place / name).mkdir(parents=True)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000020", "step-123456789"]


def test_steps_after_the_one_just_written_are_not_counted_among_the_newest(tmp_path):
    for step in (1, 2, 8, 9):
        save(tmp_path, step=step, best_step=1)
    for step in (8, 9):
        (tmp_path / "checkpoints" / f"step-{step:08d}" / "state.json").unlink()
    save(tmp_path, step=3)
    assert names(tmp_path)[:2] == ["step-00000001", "step-00000003"]


def test_what_cannot_be_deleted_is_a_warning_and_the_new_one_is_there(tmp_path, monkeypatch):
    def refuse(folder):
        raise OSError(13, "Permission denied")

    for step in (1, 2):
        save(tmp_path, step=step)
    monkeypatch.setattr(rotation, "retire", refuse)
    with pytest.warns(UserWarning, match="step-00000001 could not be deleted"):
        save(tmp_path, step=3)
    assert load_checkpoint(tmp_path).state["step"] == 3


def test_a_reader_never_sees_a_part(tmp_path):
    folder = save(tmp_path)
    shutil.copytree(folder, sealing.beside(folder.with_name("step-00000002"), "part"))
    assert checkpoints(tmp_path) == [folder]


@pytest.mark.parametrize("purpose", ["part", "old", "gone"])
def test_leftovers_of_a_killed_session_are_removed(tmp_path, purpose):
    folder = save(tmp_path)
    leftover = sealing.beside(folder, purpose)
    shutil.copytree(folder, leftover)
    assert clean_up(tmp_path) == [leftover]
    assert names(tmp_path) == [folder.name] and clean_up(tmp_path) == []


@pytest.mark.parametrize("purpose", ["part", "gone"])
def test_half_a_checkpoint_never_gets_a_name(tmp_path, purpose):
    folder = save(tmp_path)
    folder.rename(sealing.beside(folder, purpose))
    clean_up(tmp_path)
    assert names(tmp_path) == []


def test_a_checkpoint_whose_replacement_was_interrupted_has_its_name_back(tmp_path):
    folder = save(tmp_path)
    shutil.copytree(folder, sealing.beside(folder, "part"))
    folder.rename(sealing.beside(folder, "old"))
    assert len(clean_up(tmp_path)) == 2
    assert names(tmp_path) == [folder.name]
    verify_sealed(folder)


def test_a_name_that_cannot_be_given_back_is_an_error_not_a_fresh_start(tmp_path, monkeypatch):
    folder = save(tmp_path)
    folder.rename(sealing.beside(folder, "old"))

    def refuse(source, target):
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(CheckpointError, match="rename it to step-00000001"):
        clean_up(tmp_path)


FOREIGN = [
    ".step-00000001.abc.part",
    ".step-00000001.0123456G.part",
    ".step-00000001.01234567.part.bak",
    ".step-00000001.01234567.tmp",
    ".step-1.01234567.part",
    "step-00000001.01234567.part",
    ".best.01234567.old",
]


def test_only_our_own_leftovers_are_touched(tmp_path):
    for name in FOREIGN:
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    (tmp_path / "checkpoints" / ".step-00000001.01234567.part").write_text("a file")
    before = names(tmp_path)
    assert clean_up(tmp_path) == [] and names(tmp_path) == before


@pytest.mark.parametrize("purpose", ["part", "old", "gone"])
def test_links_are_never_followed(tmp_path, purpose):
    precious = save(tmp_path / "precious")
    place = tmp_path / "run" / "checkpoints"
    place.mkdir(parents=True)
    (place / f".step-00000001.01234567.{purpose}").symlink_to(precious)
    inner = place / ".step-00000001.76543210.part"
    inner.mkdir()
    (inner / "link").symlink_to(precious)
    assert clean_up(tmp_path / "run") == [inner]
    verify_sealed(precious)


def test_a_run_without_checkpoints_has_nothing_to_clean(tmp_path):
    assert clean_up(tmp_path) == []
