"""Sealed folders: whole or refused. Every kind of damage is a named error, never a wrong tensor."""

import ast
import json
import os
import pickle
import random
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from checkpoints import FILES, reseal, same, save

import gptlib
from gptlib.errors import CheckpointError
from gptlib.training import sealed, sealing
from gptlib.training.checkpoint import load_checkpoint
from gptlib.training.sealed import read_sealed, read_state, verify_sealed
from gptlib.training.sealing import write_sealed

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


def flip(content, place, luck):
    return content[:place] + bytes([content[place] ^ 1 << luck.randrange(8)]) + content[place + 1 :]


def insert(content, place, luck):
    return content[:place] + luck.randbytes(1) + content[place:]


def blank(content, place, luck):
    while not any(content[place : place + 16]):  # zeros, where there were some already
        place = luck.randrange(len(content))
    return content[:place] + bytes(len(content[place : place + 16])) + content[place + 16 :]


DAMAGE = {
    "flip": flip,
    "truncate": lambda content, place, luck: content[:place],
    "zero": blank,
    "insert": insert,
    "append": lambda content, place, luck: content + luck.randbytes(1 + luck.randrange(9)),
    "delete": lambda content, place, luck: None,
}
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


BAD_STATES = {
    "a number": b"7",
    "a list": b"[]",
    "empty": b"",
    "deep": b"[" * 100_000,
    "not text": b"\xff\xfe{}",
    "long number": b'{"sha256": ' + b"9" * 5_000 + b"}",
}


@pytest.mark.parametrize("content", BAD_STATES.values(), ids=BAD_STATES)
def test_a_state_that_is_no_state_is_named(intact, tmp_path, content):
    folder = copy_of(intact, tmp_path)
    (folder / "state.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"state\.json cannot be read"):
        read_sealed(folder)


def test_a_state_that_is_too_large_is_not_read(intact, tmp_path):
    folder = copy_of(intact, tmp_path)
    reseal(folder, lambda state: state.update(note=" " * sealed.LARGEST_STATE))
    with pytest.raises(CheckpointError, match=r"state\.json has 8,38\d,\d{3} bytes, more than any"):
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


# Writing


def test_the_files_are_what_the_library_reads(tmp_path):
    tensors = {
        "matrix": torch.randn(3, 5),
        "turned": torch.randn(3, 5).T,
        "number": torch.tensor(2.5),
        "half": torch.randn(7).half(),
        "brain": torch.randn(2, 2, 2).bfloat16(),
        "double": torch.randn(3).double(),
        "وحدة": torch.randn(1, requires_grad=True),
        "nothing": torch.empty(0, 4),
    }
    write_sealed(tmp_path / "folder", {"a.safetensors": tensors}, {})
    assert same({"a": read(tmp_path / "folder" / "a.safetensors")}, {"a": tensors})
    assert same(read_sealed(tmp_path / "folder")[1], {"a.safetensors": tensors})


def test_a_state_comes_back_as_json_would_give_it(tmp_path):
    state = {"losses": {10: 0.1, 9: 1e-300}, "pair": (1, 2), "وحد": "\ud800", "none": None}
    write_sealed(tmp_path / "folder", {}, state)
    found = read_state(tmp_path / "folder")
    assert found["losses"] == {"10": 0.1, "9": 1e-300} and found["pair"] == [1, 2]
    assert found["وحد"] == "\ud800"


class Calls:
    """Records in which order names and bytes are forced to the disk."""

    def __init__(self, monkeypatch):
        self.names = []
        for name in ("fsync", "rename"):
            monkeypatch.setattr(os, name, self.recorded(name, getattr(os, name)))

    def recorded(self, name, call):
        def record(*arguments):
            place = os.readlink(f"/proc/self/fd/{arguments[0]}") if name == "fsync" else None
            self.names.append(name if place is None else f"{name} {Path(place).name}")
            return call(*arguments)

        return record


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="names the handles of Linux")
def test_everything_is_on_the_disk_before_its_name_is(tmp_path, monkeypatch):
    monkeypatch.setattr(sealing.secrets, "token_hex", lambda size: "0" * 2 * size)
    calls = Calls(monkeypatch)
    folder = save(tmp_path)
    part = f"fsync .{folder.name}.00000000.part"
    assert calls.names == [
        *(f"fsync {name}" for name in FILES),
        part,
        "rename",
        "fsync checkpoints",
    ]


def test_all_bytes_are_written_before_they_are_forced_to_the_disk(tmp_path, monkeypatch):
    sizes = {}
    fsync = os.fsync

    def record(handle):
        facts = os.fstat(handle)
        if stat.S_ISREG(facts.st_mode):
            sizes[facts.st_ino] = facts.st_size
        fsync(handle)

    monkeypatch.setattr(os, "fsync", record)
    folder = save(tmp_path)
    assert sizes == {p.stat().st_ino: p.stat().st_size for p in folder.iterdir()}


def test_a_folder_is_replaced_by_two_renames_and_stays_until_the_second_is_certain(
    tmp_path, monkeypatch
):
    folder = save(tmp_path, seed=1)
    expected, seen = read_sealed(save(tmp_path / "other", seed=2))[1], []
    rename = os.rename

    def record(source, target):
        rename(source, target)
        names = (Path(source).name.rpartition(".")[2], Path(target).name.rpartition(".")[2])
        seen.append((*names, sorted(path.suffix for path in folder.parent.iterdir())))

    monkeypatch.setattr(os, "rename", record)
    save(tmp_path, seed=2)
    assert [step[:2] for step in seen] == [(folder.name, "old"), ("part", folder.name)]
    assert seen[0][2] == [".old", ".part"] and seen[1][2] == ["", ".old"]
    assert same(read_sealed(folder)[1], expected) and os.listdir(folder.parent) == [folder.name]


@pytest.mark.parametrize("failing", ["write_file", "sync_folder", "put_in_place"])
def test_a_failed_write_leaves_nothing_and_the_one_before(tmp_path, monkeypatch, failing):
    save(tmp_path, step=1)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sealing, failing, full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        save(tmp_path, step=2)
    assert os.listdir(tmp_path / "checkpoints") == ["step-00000001"]
    assert load_checkpoint(tmp_path).state["step"] == 1


def test_a_failed_replacement_leaves_what_was_there(tmp_path, monkeypatch):
    expected = read_sealed(save(tmp_path, seed=1))[1]
    rename = os.rename

    def refuse_parts(source, target):
        if str(source).endswith(".part"):
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse_parts)
    with pytest.raises(CheckpointError, match="Input/output error"):
        save(tmp_path, seed=2)
    assert os.listdir(tmp_path / "checkpoints") == ["step-00000001"]
    assert same(load_checkpoint(tmp_path).tensors, expected)


def test_without_room_nothing_is_begun_and_the_numbers_are_named(tmp_path, monkeypatch):
    tensors = {"a.safetensors": {"a": torch.zeros(MB // 2)}}  # 2 MB
    usage = shutil.disk_usage(tmp_path)._replace(free=2_050_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage)
    with pytest.raises(CheckpointError, match=r"has 2\.0 MB free, .* needs 2\.1 MB: make room"):
        write_sealed(tmp_path / "folder", tensors, {})
    assert os.listdir(tmp_path) == []
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage._replace(free=2_100_000))
    write_sealed(tmp_path / "folder", tensors, {})


FULL_DISK = """
import resource, signal, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from checkpoints import save
from gptlib.errors import CheckpointError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing beyond the limit is an error, EFBIG
run = Path({run!r})
save(run, step=1)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
for limit in {limits}:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        save(run, step=2)
    except CheckpointError as error:
        print(error)
"""


def test_a_disk_that_fills_up_in_the_middle_of_any_file(tmp_path):
    folder = save(tmp_path / "sizes")
    sizes = sorted((folder / name).stat().st_size for name in FILES)
    limits = [0, 1, *(size - 1 for size in sizes)]  # the last lets all files but the largest pass
    script = FULL_DISK.format(
        tests=str(Path(__file__).parent), run=str(tmp_path / "run"), limit=1, limits=limits
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == len(limits)
    assert all("could not be written (File too large): make room" in line for line in lines)
    assert os.listdir(tmp_path / "run" / "checkpoints") == ["step-00000001"]
    assert same(load_checkpoint(tmp_path / "run").tensors, read_sealed(folder)[1])


def test_files_have_the_permissions_of_other_files(intact, tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    assert {p.stat().st_mode for p in intact.iterdir()} == {(tmp_path / "plain").stat().st_mode}


# The package as a whole


PICKLES = {"pickle", "cPickle", "_pickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"}


def runs_code(path):
    """Lines of a file that could run what a file to be read says."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names) if {n.name.split(".")[0] for n in names} & PICKLES:
                yield f"{path.name}:{node.lineno} imports a pickle"
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in PICKLES:
                yield f"{path.name}:{node.lineno} imports a pickle"
            case ast.ImportFrom(module="torch", names=names):
                if {name.name for name in names} & {"load", "save"}:
                    yield f"{path.name}:{node.lineno} imports torch.load or torch.save"
            case ast.Attribute(value=ast.Name(id="torch"), attr="load" | "save"):
                yield f"{path.name}:{node.lineno} uses torch.{node.attr}"
            case ast.keyword(arg="allow_pickle", value=value):
                if not (isinstance(value, ast.Constant) and value.value is False):
                    yield f"{path.name}:{node.lineno} allows pickles"


def test_nothing_in_the_package_reads_or_writes_pickles():
    files = sorted(Path(gptlib.__file__).parent.rglob("*.py"))
    assert len(files) > 50
    assert [line for path in files for line in runs_code(path)] == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "def f():\n    import _pickle as p",
        "import torch\ntorch.load('x')",
        "from torch import load",
        "import torch\nsave = torch.save",
        "np.load('x', allow_pickle=True)",
        "np.load('x', allow_pickle=answer)",
    ],
)
def test_the_guard_sees_each_way_in(tmp_path, code):
    (tmp_path / "way.py").write_text(code)
    assert len(list(runs_code(tmp_path / "way.py"))) == 1


def test_state_json_is_readable_text(intact):
    text = (intact / "state.json").read_text()
    assert json.loads(text)["files"].keys() == set(FILES[:2]) and text.count("\n") > 10
