"""A sealed folder: tensors and a ``state.json`` that are all there, unaltered, or not there.

``state.json`` lists every file's size and sha256 and ends with its own hash. The folder is
written under a temporary name and renamed when it is complete; read, nothing is parsed before
its hash has been checked. There is no pickle anywhere, so reading runs no code.
"""

import hashlib
import json
import os
import secrets
import shutil
import stat
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from gptlib.errors import CheckpointError

STATE = "state.json"
FORMAT = "gptlib checkpoint"
VERSION = 1

Tensors = dict[str, Tensor]


def write_sealed(folder: Path, tensors: dict[str, Tensors], state: dict[str, Any]) -> None:
    """Write a sealed folder; one that stands there already is replaced in one rename.

    Args:
        folder: its final place.
        tensors: for each file name its named tensors.
        state: what else is to be kept, ready for JSON.

    Raises:
        CheckpointError: the disk refused; nothing is left of the attempt.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = beside(folder, "part")
        part.mkdir()
        try:
            files = {name: write_file(part / name, save(named)) for name, named in tensors.items()}
            state = {"format": FORMAT, "version": VERSION, **state, "files": files}
            sealed = json.dumps({**state, "sha256": hash_of_state(state)}, indent=1)
            write_file(part / STATE, sealed.encode())  # last: it vouches for the others
            sync_folder(part)
            if folder.exists():
                retire(folder)
            os.rename(part, folder)
            sync_folder(folder.parent)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise CheckpointError(
            f"{folder} could not be written ({error.strerror}): make room or choose another folder"
        ) from error


def write_file(path: Path, content: bytes) -> dict[str, Any]:
    """Write bytes through to the disk; returns their size and sha256."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def sync_folder(folder: Path) -> None:
    """Write a folder's list of names through to the disk."""
    if os.name == "nt":
        return  # Windows cannot open a folder, and orders its renames itself
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def retire(folder: Path) -> None:
    """Delete a sealed folder: first its name, so that no reader finds half of it."""
    away = beside(folder, "old")
    os.rename(folder, away)
    shutil.rmtree(away, ignore_errors=True)


def beside(folder: Path, purpose: str) -> Path:
    """A new hidden name next to a folder, so that a rename never crosses a disk."""
    return folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.{purpose}")


def read_sealed(folder: Path) -> tuple[dict[str, Any], dict[str, Tensors]]:
    """Read and verify a sealed folder.

    Returns:
        The state, and for each file name its named tensors.

    Raises:
        CheckpointError: a file is missing, added, not a plain file, altered or unreadable.
    """
    state = read_state(folder)
    found = {path.name for path in folder.iterdir()}
    listed = {STATE, *state["files"]}
    if found != listed:
        raise damaged(folder, f"files {', '.join(sorted(found ^ listed))} are missing or added")
    tensors = {}
    for name, facts in state["files"].items():
        content = read_plain(folder / name, facts["bytes"])
        if hashlib.sha256(content).hexdigest() != facts["sha256"]:
            raise damaged(folder, f"{name} was altered")
        try:
            tensors[name] = load(content)
        except (SafetensorError, ValueError, KeyError) as error:
            raise damaged(folder, f"{name} is no safetensors file ({error})") from error
    return state, tensors


def read_state(folder: Path) -> dict[str, Any]:
    """The verified content of ``state.json`` alone; see :func:`read_sealed`."""
    content = read_plain(folder / STATE)
    try:
        state = json.loads(content)
        seal = state.pop("sha256")
        intact = seal == hash_of_state(state)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(folder, f"{STATE} cannot be read") from error
    if not intact:
        raise damaged(folder, f"{STATE} was altered")
    found = (state.get("format"), state.get("version"))
    if found != (FORMAT, VERSION):
        raise CheckpointError(
            f"{folder} has format {found[0]!r} version {found[1]}, this gptlib reads "
            f"{FORMAT!r} version {VERSION}: use the gptlib that wrote it"
        )
    return state


def read_plain(path: Path, size: int | None = None) -> bytes:
    """The bytes of a plain file: no link, pipe or device, which could block or lead elsewhere."""
    try:
        facts = path.lstat()
        if not stat.S_ISREG(facts.st_mode):
            raise damaged(path.parent, f"{path.name} is not a plain file")
        if size is not None and facts.st_size != size:
            raise damaged(path.parent, f"{path.name} has {facts.st_size:,} bytes, not {size:,}")
        return path.read_bytes()
    except OSError as error:
        raise damaged(path.parent, f"{path.name} cannot be read ({error.strerror})") from error


def hash_of_state(state: dict[str, Any]) -> str:
    """The sha256 of a state without its own hash, in one spelling."""
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def damaged(folder: Path, what: str) -> CheckpointError:
    """The error for a folder that is not as it was written."""
    return CheckpointError(f"{folder} is damaged: {what}: use an earlier checkpoint or a copy")
