"""How a sealed folder is written, so that it survives whatever ends the process or the power.

Check the room → temporary folder → write, flush, fsync and hash each file → ``state.json`` last
→ fsync the folder → rename → fsync its parent. A folder under its own name is therefore whole;
what a killed process leaves has another name, by which it can be told apart:

``.NAME.XXXXXXXX.part``  was being written
``.NAME.XXXXXXXX.old``   was making way for a new folder of the same name
``.NAME.XXXXXXXX.gone``  was being deleted
"""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from gptlib.errors import CheckpointError
from gptlib.files import sealed_bytes, sync_folder
from gptlib.training.sealed import FORMAT, STATE, VERSION, Tensors

SPARE = 1.05  # room to ask for, per byte to write: for folders, lists and other programs
DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
}


def write_sealed(folder: Path, tensors: dict[str, Tensors], state: dict[str, Any]) -> None:
    """Write a sealed folder; one that stands there already is replaced once this one is whole.

    Args:
        folder: its final place.
        tensors: for each file name its named tensors, on any device; one at a time is copied.
        state: what else is to be kept, ready for JSON.

    Raises:
        CheckpointError: no room, or the disk refused; nothing is left of the attempt.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        check_room(folder.parent, tensors)
        part = beside(folder, "part")
        try:
            part.mkdir()
            files = {name: write_file(part / name, pieces(t)) for name, t in tensors.items()}
            sealed = {"format": FORMAT, "version": VERSION, **as_read(state), "files": files}
            write_file(part / STATE, [sealed_bytes(sealed)])  # last: it vouches for the others
            sync_folder(part)
            put_in_place(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise CheckpointError(
            f"{folder} could not be written ({error.strerror}): make room or choose another folder"
        ) from error


def as_read(state: dict[str, Any]) -> dict[str, Any]:
    """A state as JSON gives it back, keys all text: only so is its hash the same when read."""
    return dict(json.loads(json.dumps(state)))


def check_room(place: Path, tensors: dict[str, Tensors]) -> None:
    """Refuse to begin what the disk cannot hold."""
    size = sum(tensor.nbytes for named in tensors.values() for tensor in named.values())
    needed, free = size * SPARE, shutil.disk_usage(place).free
    if needed > free:
        raise CheckpointError(
            f"{place} has {free / 1e6:,.1f} MB free, a checkpoint needs {needed / 1e6:,.1f} MB: "
            f"make room there or choose another folder"
        )


def write_file(path: Path, content: Iterable[bytes | memoryview]) -> dict[str, Any]:
    """Write pieces of bytes through to the disk; returns their size and sha256."""
    size, digest = 0, hashlib.sha256()
    with path.open("wb") as file:
        for piece in content:
            file.write(piece)
            digest.update(piece)
            size += len(piece)
        file.flush()
        os.fsync(file.fileno())
    return {"bytes": size, "sha256": digest.hexdigest()}


def pieces(
    tensors: Tensors, metadata: dict[str, str] | None = None
) -> Iterator[bytes | memoryview]:
    """A safetensors file in pieces: the header, then each tensor as it lies in memory.

    The library's own ``save`` would first put two copies of everything into memory; with
    AdamW's moments that is four times the model.

    Source: https://huggingface.co/docs/safetensors, "Format".
    """
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.nbytes
        header[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the numbers begin at a multiple of 8
    yield len(text).to_bytes(8, "little") + text
    for tensor in tensors.values():
        plain = tensor.detach().cpu().reshape(-1)  # (n,), copied if it does not lie in one piece
        yield plain.view(torch.uint8).numpy().data


def put_in_place(part: Path, folder: Path) -> None:
    """Give a complete folder its name; what has that name stands aside until that is certain."""
    aside = beside(folder, "old") if os.path.lexists(folder) else None
    if aside:
        os.rename(folder, aside)
    try:
        os.rename(part, folder)
    except OSError:
        if aside:
            os.rename(aside, folder)
        raise
    sync_folder(folder.parent)
    if aside:
        delete(aside)


def retire(folder: Path) -> None:
    """Delete a sealed folder: first its name, so that no reader finds half of it."""
    away = beside(folder, "gone")
    os.rename(folder, away)
    delete(away)


def delete(folder: Path) -> None:
    """Delete a folder, or a link to one but nothing behind it; what resists stays."""
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def beside(folder: Path, purpose: str) -> Path:
    """A new hidden name next to a folder, so that a rename never crosses a disk."""
    return folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.{purpose}")
