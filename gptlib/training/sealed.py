"""A sealed folder: tensors and a ``state.json`` that are all there, unaltered, or not there.

``state.json`` lists every file's size and sha256 and ends with its own hash. Read, nothing is
parsed before its hash has been checked. There is no pickle anywhere, so reading runs no code.
How such a folder is written: :mod:`gptlib.training.sealing`.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from gptlib.errors import CheckpointError
from gptlib.files import sealed_bytes, wrong_file, wrong_names

STATE = "state.json"
FORMAT = "gptlib checkpoint"
VERSION = 1
LARGEST_STATE = 8 << 20  # bytes; GPT-2's largest model needs 30 thousand

Tensors = dict[str, Tensor]


class State(dict[str, Any]):
    """What ``state.json`` says; asked for what it does not say, it names the folder."""

    def __init__(self, folder: Path, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.folder = folder

    def __missing__(self, key: str) -> Any:
        raise damaged(self.folder, f"{STATE} lacks {key!r}")


def read_sealed(folder: Path, wanted: str | None = None) -> tuple[State, dict[str, Tensors]]:
    """Read and verify a sealed folder.

    Args:
        folder: the sealed folder.
        wanted: the one file to read; the others are looked at, not read. By default all are.

    Returns:
        The state, and for each file that was read its named tensors.

    Raises:
        CheckpointError: a file is missing, added, not a plain file, altered or unreadable.
    """
    state = read_state(folder)
    check_names(folder, state)
    tensors = {}
    for name, facts in state["files"].items():
        if wanted in (None, name):
            tensors[name] = read_tensors(folder / name, facts)
        else:
            check_plain(folder / name, facts["bytes"])
    return state, tensors


def verify_sealed(folder: Path) -> State:
    """Verify a sealed folder without holding its tensors in memory; see :func:`read_sealed`."""
    state = read_state(folder)
    check_names(folder, state)
    for name, facts in state["files"].items():
        check_plain(folder / name, facts["bytes"])
        try:
            with (folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise damaged(folder, f"{name} cannot be read ({error.strerror})") from error
        if found != facts["sha256"]:
            raise damaged(folder, f"{name} was altered")
    return state


def read_tensors(path: Path, facts: dict[str, Any]) -> Tensors:
    """The tensors of one listed file; the bytes that are parsed are those that were hashed."""
    check_plain(path, facts["bytes"])
    content = read_bytes(path)
    if hashlib.sha256(content).hexdigest() != facts["sha256"]:
        raise damaged(path.parent, f"{path.name} was altered")
    try:
        return load(content)
    except (SafetensorError, ValueError, TypeError, LookupError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise damaged(path.parent, f"{path.name} is no safetensors file ({reason})") from error


def read_state(folder: Path) -> State:
    """The verified content of ``state.json`` alone; see :func:`read_sealed`."""
    if folder.is_symlink() or not folder.is_dir():
        raise damaged(folder, "it is missing, a link or a file, not a folder")
    check_plain(folder / STATE)
    content = read_bytes(folder / STATE)
    try:
        state = json.loads(content)
        state.pop("sha256")
        intact = content == sealed_bytes(state)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(folder, f"{STATE} cannot be read") from error
    if not intact:
        raise damaged(folder, f"{STATE} was altered")
    found = (state.get("format"), state.get("version"))
    if found != (FORMAT, VERSION):
        raise CheckpointError(
            f"{folder} has format {found[0]!r} version {found[1]!r}, this gptlib reads "
            f"{FORMAT!r} version {VERSION}: use the gptlib that wrote it"
        )
    check_list(folder, state.get("files"))
    return State(folder, state)


def check_list(folder: Path, files: Any) -> None:
    """Refuse a list of files that leads out of the folder or cannot be checked against."""
    if not isinstance(files, dict):
        raise damaged(folder, f"{STATE} lists no files")
    for name, facts in files.items():
        if not re.fullmatch(r"\w[\w.-]*", name, re.ASCII) or name == STATE:
            raise damaged(folder, f"{STATE} lists {name!r}, which is no name of a file in it")
        facts = facts if isinstance(facts, dict) else {}
        size, digest = facts.get("bytes"), facts.get("sha256")
        if type(size) is not int or size < 0:
            raise damaged(folder, f"{STATE} gives {name} {size!r} as its size")
        if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
            raise damaged(folder, f"{STATE} gives {name} {digest!r} as its sha256")


def check_names(folder: Path, state: State) -> None:
    """Refuse a folder that holds other files than its state lists."""
    if wrong := wrong_names(folder, {STATE, *state["files"]}):
        raise damaged(folder, wrong)


def check_plain(path: Path, size: int | None = None) -> None:
    """Refuse what is no plain file of this size; the state alone has a size that nobody knows."""
    if wrong := wrong_file(path, size, LARGEST_STATE):
        raise damaged(path.parent, wrong)


def read_bytes(path: Path) -> bytes:
    """The bytes of a file that :func:`check_plain` has passed."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise damaged(path.parent, f"{path.name} cannot be read ({error.strerror})") from error


def damaged(folder: Path, what: str) -> CheckpointError:
    """The error for a folder that is not as it was written."""
    return CheckpointError(f"{folder} is damaged: {what}: use an earlier checkpoint or a copy")
