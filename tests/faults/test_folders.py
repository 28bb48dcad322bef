"""Folders are whole or absent, and one that is not as it was written is refused by name."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from damage import NO_OBJECT, rewrite
from safetensors import SafetensorError
from safetensors.torch import save_file

from gptlib import files
from gptlib.errors import Damaged, FolderError
from gptlib.files import check_files, lock, new_folder, read_file, read_manifest, write_manifest

NAMES = ["a.bin", "b.bin"]
FULL = OSError(28, "No space left on device")


def write(folder, content="new", **options):
    """A folder of two files and their manifest."""
    with new_folder(folder, **options) as part:
        for name in NAMES:
            (part / name).write_text(f"{content} {name} " * 9)
        facts = {name: files.file_facts(part / name) for name in NAMES}
        write_manifest(part / "list.json", {"files": facts})
    return folder


def read(folder):
    """The verified contents of such a folder."""
    listed = read_manifest(folder / "list.json")["files"]
    check_files(folder / "list.json", {name: facts["bytes"] for name, facts in listed.items()})
    return {name: read_file(folder / name, facts["sha256"]) for name, facts in listed.items()}


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_what_is_written_is_read_and_nothing_else_is_there(tmp_path):
    folder = write(tmp_path / "new" / "folder")
    assert read(folder)["a.bin"].startswith(b"new a.bin") and names(folder.parent) == ["folder"]
    with new_folder(tmp_path / "tensors") as part:
        save_file({"a": torch.zeros(9)}, part / "a.safetensors")
    (tmp_path / "plain").write_bytes(b"")
    usual = (tmp_path / "plain").stat().st_mode
    written = (*folder.iterdir(), *(tmp_path / "tensors").iterdir())
    assert {path.stat().st_mode for path in written} == {usual}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="names the handles of Linux")
def test_everything_is_on_the_disk_before_its_name_is(tmp_path, monkeypatch):
    calls, fsync, rename = [], os.fsync, os.rename

    def record_fsync(handle):
        calls.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        fsync(handle)

    def record_rename(source, target):
        calls.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "rename", record_rename)
    write(tmp_path / "folder")
    assert sorted(calls[:3]) == [*NAMES, "list.json"]
    assert calls[3:] == [".folder.part", "rename", tmp_path.name]


FAILING = {
    "in the block": (files, "file_facts", FULL),
    "in the library": (files, "file_facts", SafetensorError("I/O error: No space left on device")),
    "while it is forced to the disk": (files, "sync", FULL),
    "at the rename": (os, "rename", FULL),
    "Ctrl-C": (files, "sync", KeyboardInterrupt()),
}


@pytest.mark.parametrize("owner, name, error", FAILING.values(), ids=FAILING)
@pytest.mark.parametrize("replace", [False, True])
def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch, owner, name, error, replace):
    if replace:
        write(tmp_path / "folder", "old")
    call = getattr(owner, name)

    def failing(*arguments):
        if name == "rename" and not str(arguments[0]).endswith(".part"):
            return call(*arguments)
        raise error

    monkeypatch.setattr(owner, name, failing)
    kind = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else FolderError
    with pytest.raises(kind, match=r"folder could not be written .*No space left.*make room|^$"):
        write(tmp_path / "folder", replace=replace)
    assert names(tmp_path) == (["folder"] if replace else [])
    assert not replace or read(tmp_path / "folder")["a.bin"].startswith(b"old")


def test_a_folder_that_is_replaced_stays_until_the_new_one_is_on_the_disk(tmp_path, monkeypatch):
    write(tmp_path / "folder", "old")
    seen, rename = [], os.rename

    def record(source, target):
        rename(source, target)
        seen.append(names(tmp_path))

    monkeypatch.setattr(os, "rename", record)
    write(tmp_path / "folder", replace=True)
    assert seen == [[".folder.old", ".folder.part"], [".folder.old", "folder"]]
    assert names(tmp_path) == ["folder"] and read(tmp_path / "folder")["a.bin"][:3] == b"new"


def test_a_folder_that_had_given_way_comes_back_and_half_of_one_goes(tmp_path):
    write(tmp_path / "folder").rename(tmp_path / ".folder.old")
    (tmp_path / ".folder.part").mkdir()
    files.clean_up(tmp_path / "folder")
    assert names(tmp_path) == ["folder"] and read(tmp_path / "folder")
    shutil.copytree(tmp_path / "folder", tmp_path / ".folder.old")
    files.clean_up(tmp_path / "folder")
    assert names(tmp_path) == ["folder"]


def test_a_deleted_folder_loses_its_name_first(tmp_path, monkeypatch):
    write(tmp_path / "folder")
    monkeypatch.setattr(shutil, "rmtree", lambda *arguments, **options: None)
    files.delete_folder(tmp_path / "folder")
    assert names(tmp_path) == [".folder.part"]


@pytest.mark.parametrize("name", ["full", "empty", "file", "link", "full/.", "full/.."])
def test_what_exists_is_never_written_over(tmp_path, name):
    write(tmp_path / "full")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("years of work")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FolderError, match="exists: give another folder, or remove it yourself"):
        write(tmp_path / name)
    assert names(tmp_path) == ["empty", "file", "full", "link"] and read(tmp_path / "full")


def test_a_folder_inside_of_a_file_and_another_writer_are_named(tmp_path):
    (tmp_path / "file").write_text("years of work")
    with pytest.raises(FolderError, match="file is a file: give another"):
        write(tmp_path / "file" / "folder")
    (tmp_path / ".folder.part").mkdir()
    with (
        lock(tmp_path / ".folder.part"),
        pytest.raises(FolderError, match="being written by another process: wait"),
    ):
        write(tmp_path / "folder")
    assert names(tmp_path) == [".folder.part", "file"]


def test_links_in_the_place_of_what_was_left_are_not_followed(tmp_path):
    precious = write(tmp_path / "precious")
    for name in (".folder.part", ".folder.old"):
        (tmp_path / name).symlink_to(precious)
    with pytest.raises(FolderError):
        write(tmp_path / "folder")
    assert read(precious)


FULL_DISK = """
import resource, signal, sys
sys.path.insert(0, {tests!r})
import torch
from pathlib import Path
from safetensors.torch import save_file
from gptlib.errors import FolderError
from gptlib.files import new_folder, write_manifest
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing beyond the limit is an error, EFBIG
for limit in (0, 1, 30_000, 50_000, 99_999):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        with new_folder(Path({folder!r}), locked=True) as part:
            save_file({{"a": torch.zeros(10_000)}}, part / "a.safetensors")
            write_manifest(part / "list.json", {{"note": "x" * 99_999}})
    except FolderError as error:
        print(error)
"""


def test_a_disk_that_fills_up_in_the_middle_of_any_file(tmp_path):
    script = FULL_DISK.format(tests=str(Path(__file__).parents[1]), folder=str(tmp_path / "folder"))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert (done.stderr, len(lines)) == ("", 5)
    assert all("could not be written" in line and "File too large" in line for line in lines)
    assert names(tmp_path) == []


# Damage


def refused(folder, words):
    with pytest.raises(Damaged, match=words) as caught:
        read(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", [*NAMES, "list.json"])
@pytest.mark.parametrize("kind", ["symlink", "fifo", "folder", "device"])
def test_only_plain_files_are_opened(tmp_path, file, kind):
    folder = write(tmp_path / "folder")
    (folder / file).rename(tmp_path / file)
    if kind == "fifo":
        os.mkfifo(folder / file)  # opening it would wait for ever
    elif kind == "folder":
        (folder / file).mkdir()
    else:
        (folder / file).symlink_to(tmp_path / file if kind == "symlink" else "/dev/zero")
    refused(folder, f"{file} is not a plain file")


def test_an_added_file_is_named(tmp_path):
    (write(tmp_path / "folder") / "extra\n.bin").write_bytes(b"")
    refused(tmp_path / "folder", r"files 'extra\\n\.bin' are missing or added \(remove what was")


@pytest.mark.parametrize("name", ["../a.bin", "/etc/passwd", "sub/a.bin", "..", "", "a\nb"])
def test_a_manifest_cannot_list_what_is_not_a_file_of_its_folder(tmp_path, name):
    folder = write(tmp_path / "folder")
    (folder / "sub").mkdir()
    for place in (tmp_path, folder / "sub"):
        shutil.copy(folder / "a.bin", place)
    rewrite(folder / "list.json", lambda c: c["files"].update({name: c["files"]["a.bin"]}))
    refused(folder, "are missing or added")


@pytest.mark.parametrize("content", NO_OBJECT.values(), ids=NO_OBJECT)
def test_a_manifest_that_is_none_is_named(tmp_path, content):
    (write(tmp_path / "folder") / "list.json").write_bytes(content)
    refused(tmp_path / "folder", r"list\.json cannot be read")


def test_a_manifest_that_is_too_large_is_not_read(tmp_path):
    folder = write(tmp_path / "folder")
    rewrite(folder / "list.json", lambda content: content.update(note=" " * (8 << 20)))
    refused(folder, r"list\.json has 8,38\d,\d{3} bytes, not at most")


def test_a_manifest_comes_back_as_json_would_give_it_and_can_be_read_by_people(tmp_path):
    content = {"losses": {10: 0.1, 9: 1e-300}, "pair": (1, 2), "وحد": "\ud800", "none": None}
    write_manifest(tmp_path / "list.json", content)
    found = read_manifest(tmp_path / "list.json")
    assert found["losses"] == {"10": 0.1, "9": 1e-300} and found["pair"] == [1, 2]
    assert found["وحد"] == "\ud800" and (tmp_path / "list.json").read_text().count("\n") > 5
