"""Sealed folders: whole or refused. Every kind of damage is a named error, never a wrong tensor."""

import json
import os
import pickle
import random
import shutil
from pathlib import Path

import pytest
import safetensors.torch
from checkpoints import FILES, reseal, same, save
from damage import DAMAGE, NO_OBJECT

from gptlib.errors import CheckpointError
from gptlib.training import sealed, sealing
from gptlib.training.checkpoint import load_checkpoint
from gptlib.training.sealed import read_sealed, read_state, verify_sealed

MB = 10**6


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """One checkpoint, to be copied and damaged."""
    return save(tmp_path_factory.mktemp("run"))


def copy_of(intact, run):
    place = run / "checkpoints" / intact.name
    shutil.copytree(intact, place, symlinks=True)
    return place


# Damage


MUTATIONS = 204  # each kind on each file, at 11 or 12 places


def mutations():
    """Kinds of damage, files, and the luck that decides the place: the same in every run."""
    pairs = [(kind, file) for kind in DAMAGE for file in FILES]
    return [(*pairs[number % len(pairs)], random.Random(number)) for number in range(MUTATIONS)]


def damage(folder, kind, file, luck):
    content = (folder / file).read_bytes()
    changed = DAMAGE[kind](content, luck.randrange(len(content)), luck)
    (folder / file).unlink()
    if changed is not None:
        assert changed != content
        (folder / file).write_bytes(changed)


def test_each_of_two_hundred_mutations_is_refused_and_named(intact, tmp_path):
    for number, (kind, file, luck) in enumerate(mutations()):
        folder = copy_of(intact, tmp_path / str(number))
        damage(folder, kind, file, luck)
        for read in (read_sealed, verify_sealed, load_checkpoint):
            with pytest.raises(CheckpointError, match=f"is damaged: .*{file}") as caught:
                read(folder)
            assert "\n" not in str(caught.value), (kind, file, number)
        shutil.rmtree(tmp_path / str(number))


def test_the_one_before_stands_in_for_each_of_two_hundred_mutations(tmp_path):
    before, newest = save(tmp_path, step=1, seed=1), save(tmp_path, step=2, seed=2)
    expected, aside = read_sealed(before)[1], tmp_path / "aside"
    assert not same(expected, read_sealed(newest)[1])
    newest.rename(aside)
    for kind, file, luck in mutations():
        shutil.copytree(aside, newest)
        damage(newest, kind, file, luck)
        with pytest.warns(UserWarning, match="step-00000002 is damaged.*the one before"):
            checkpoint = load_checkpoint(tmp_path)
        assert checkpoint.state["step"] == 1 and same(checkpoint.tensors, expected)
        shutil.rmtree(newest)


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
    for read in (read_sealed, verify_sealed):
        with pytest.raises(CheckpointError, match=f"{file} is not a plain file"):
            read(folder)


def test_a_folder_that_is_a_link_is_refused(intact, tmp_path):
    place = tmp_path / "checkpoints" / intact.name
    place.parent.mkdir()
    place.symlink_to(intact)
    with pytest.raises(CheckpointError, match="a link or a file, not a folder"):
        read_state(place)
    with pytest.warns(UserWarning), pytest.raises(CheckpointError, match="all 1 checkpoints are"):
        load_checkpoint(tmp_path)


def test_an_added_file_is_named(intact, tmp_path):
    folder = copy_of(intact, tmp_path)
    (folder / "extra\n.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"files 'extra\\n\.bin' are missing or added"):
        read_sealed(folder)


class Trap:
    """Would leave a mark if a pickle were read."""

    def __reduce__(self):
        return (Path.touch, (Path("pickle-was-read"),))


def test_a_pickle_under_our_name_is_not_unpickled(intact, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = copy_of(intact, tmp_path)
    facts = sealing.write_file(folder / FILES[0], [pickle.dumps(Trap())])
    reseal(folder, lambda state: state["files"].update({FILES[0]: facts}))
    with pytest.raises(CheckpointError, match="is no safetensors file"):
        read_sealed(folder)
    assert not (tmp_path / "pickle-was-read").exists()


OUTSIDE = [
    "../{}",
    "{}/../../{}",
    "/etc/passwd",
    "sub/{}",
    "..",
    "",
    "a\nb",
    "C:\\{}",
    "state.json",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_state_cannot_list_what_is_not_a_file_of_its_folder(intact, tmp_path, name):
    folder = copy_of(intact, tmp_path)
    (folder / "sub").mkdir()
    for place in (folder.parent, folder / "sub"):
        shutil.copy(folder / FILES[0], place)
    name = name.format(FILES[0], FILES[0])
    reseal(folder, lambda state: state["files"].update({name: state["files"][FILES[0]]}))
    with pytest.raises(CheckpointError, match="which is no name of a file in it") as caught:
        read_sealed(folder)
    assert "\n" not in str(caught.value)


def entry(**facts):
    """A change of what the state says about the model's file."""
    return lambda state: state["files"][FILES[0]].update(facts)


NONSENSE = {
    "no list of files": lambda state: state.pop("files"),
    "files as a list": lambda state: state.update(files=[FILES[0]]),
    "a file without facts": lambda state: state["files"].update({FILES[0]: None}),
    "no size": lambda state: state["files"][FILES[0]].pop("bytes"),
    "a negative size": entry(bytes=-1),
    "a size in words": entry(bytes="12"),
    "true for a size": entry(bytes=True),
    "no hash": lambda state: state["files"][FILES[0]].pop("sha256"),
    "a number for a hash": entry(sha256=12),
    "a list for a hash": entry(sha256=["0" * 64]),
    "a short hash": entry(sha256="abc"),
    "no format": lambda state: state.pop("format"),
}


@pytest.mark.parametrize("change", NONSENSE.values(), ids=NONSENSE)
def test_a_state_that_makes_no_sense_is_named_though_its_seal_is_right(intact, tmp_path, change):
    folder = copy_of(intact, tmp_path)
    reseal(folder, change)
    with pytest.raises(CheckpointError, match=r"state\.json|has format None"):
        read_sealed(folder)


@pytest.mark.parametrize("content", NO_OBJECT.values(), ids=NO_OBJECT)
def test_a_state_that_is_no_state_is_named(intact, tmp_path, content):
    folder = copy_of(intact, tmp_path)
    (folder / "state.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"state\.json cannot be read"):
        read_sealed(folder)


def test_a_state_that_is_too_large_is_not_read(intact, tmp_path):
    folder = copy_of(intact, tmp_path)
    reseal(folder, lambda state: state.update(note=" " * sealed.LARGEST_STATE))
    with pytest.raises(CheckpointError, match=r"state\.json has 8,38\d,\d{3} bytes, not at most"):
        read_sealed(folder)


def test_what_a_state_lacks_is_named_when_it_is_asked_for(intact):
    with pytest.raises(CheckpointError, match=r"state\.json lacks 'scaler'"):
        read_state(intact)["scaler"]


def test_another_format_or_version_is_named(intact, tmp_path):
    folder = copy_of(intact, tmp_path)
    reseal(folder, lambda state: state.update(version=2))
    with pytest.raises(CheckpointError, match=r"version 2, this gptlib reads .* version 1"):
        read_sealed(folder)


@pytest.mark.parametrize("file", FILES)
def test_a_device_without_end_is_not_read(intact, tmp_path, file):
    folder = copy_of(intact, tmp_path)
    (folder / file).unlink()
    (folder / file).symlink_to("/dev/zero")
    with pytest.raises(CheckpointError, match="is not a plain file"):
        read_sealed(folder)


def test_one_file_can_be_read_alone(intact, tmp_path):
    state, tensors = read_sealed(intact, FILES[0])
    assert state == read_sealed(intact)[0] and same(tensors, {FILES[0]: read(intact / FILES[0])})
    folder = copy_of(intact, tmp_path)
    (folder / FILES[1]).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"optimizer\.safetensors has 0 bytes"):
        read_sealed(folder, FILES[0])


def read(path):
    return safetensors.torch.load(path.read_bytes())


def test_state_json_is_readable_text(intact):
    text = (intact / "state.json").read_text()
    assert json.loads(text)["files"].keys() == set(FILES[:2]) and text.count("\n") > 10
