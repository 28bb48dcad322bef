"""Folders that are whole or absent: built beside their place, renamed when all is on the disk."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import filelock

from gptlib.errors import ShardError
from gptlib.files import lock, sync_folder


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write in that gets its name when the block ends well, and is removed if not."""
    part = folder.with_name(f".{folder.name}.part")
    with refusals_named(folder), lock(part, timeout=0):
        check_absent(folder)
        shutil.rmtree(part, ignore_errors=True)  # what a killed process left
        part.mkdir()
        try:
            yield part
            sync_folder(part)
            os.rename(part, folder)
            sync_folder(folder.parent)
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextmanager
def refusals_named(folder: Path) -> Iterator[None]:
    """What the lock and the disk say, as an error of ours."""
    try:
        yield
    except filelock.Timeout as error:
        raise ShardError(
            f"{folder} is being written by another process: wait for it or give another folder"
        ) from error
    except OSError as error:
        raise ShardError(
            f"{folder} could not be written ({error}): make room or choose another folder"
        ) from error


@contextmanager
def written(path: Path) -> Iterator[IO[bytes]]:
    """A new file that is on the disk when the block ends."""
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def check_absent(folder: Path) -> None:
    """Refuse a folder that stands there already; nothing of it is overwritten."""
    if os.path.lexists(folder):
        raise ShardError(f"{folder} exists: give another folder, or remove it yourself")
