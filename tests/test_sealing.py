"""Writing sealed folders: in an order that survives a power cut, or not at all."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from checkpoints import FILES, same, save

from gptlib.errors import CheckpointError
from gptlib.training import sealing
from gptlib.training.checkpoint import load_checkpoint
from gptlib.training.sealed import read_sealed, read_state
from gptlib.training.sealing import write_sealed

MB = 10**6


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
    found = safetensors.torch.load((tmp_path / "folder" / "a.safetensors").read_bytes())
    assert same({"a": found}, {"a": tensors})
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


def test_files_have_the_permissions_of_other_files(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    assert {p.stat().st_mode for p in save(tmp_path).iterdir()} == {
        (tmp_path / "plain").stat().st_mode
    }
