"""A second copy of a run, in a folder that outlives the session: a mounted Google Drive, Kaggle.

Such folders are slow and may fail. A copy is verified before it gets its name, and one that
cannot be made is a warning: training goes on, and the next checkpoint tries again.
"""

import filecmp
import os
import shutil
import tempfile
import warnings
from pathlib import Path

from gptlib.errors import CheckpointError
from gptlib.files import sync_folder
from gptlib.training.metrics import FILE_NAME
from gptlib.training.rotation import checkpoints, clean_up, rotate, step_of
from gptlib.training.sealed import STATE, check_names, check_plain, read_state, verify_sealed
from gptlib.training.sealing import beside, put_in_place

BESIDE = (FILE_NAME, "settings.toml")


def check_copies(run_folder: Path, copies: Path, resume: bool) -> Path:
    """Find what would keep a run from being copied before it trains for an hour.

    Args:
        run_folder: the run; its name is the copy's name.
        copies: the folder of copies; it is made, if the one above it is there.
        resume: whether a run that is there already is to be gone on with.

    Returns:
        The folder of this run's copy; it need not exist.

    Raises:
        CheckpointError: the folder is not there, not writable, inside the run, or holds a run
            of this name that is not to be resumed.
    """
    if not copies.parent.is_dir():
        raise CheckpointError(f"{copies} is not there: mount it, or leave the copies out")
    if run_folder.resolve() in (copies.resolve(), *copies.resolve().parents):
        raise CheckpointError(f"{copies} is in the run itself: give a folder on another disk")
    try:
        copies.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=copies):
            pass
    except OSError as error:
        raise CheckpointError(f"{copies} cannot be written ({error.strerror}): mend it") from error
    place = copies / run_folder.resolve().name
    if checkpoints(place) and not resume:
        raise CheckpointError(f"{place} holds a run: go on with it (--resume) or rename yours")
    return place


def copy_run(run_folder: Path, copies: Path) -> bool:
    """Bring the copy of a run up to date: newest and best checkpoint, metrics, tokenizer.

    Call it after a checkpoint, with the run's lock held.

    Args:
        run_folder: the run; its name is the copy's name.
        copies: the folder of copies.

    Returns:
        Whether that worked; if not, a warning has said why. Nothing in the copy is ever written
        over by what is behind it.
    """
    place = copies / run_folder.resolve().name
    found = checkpoints(run_folder)
    if not found:
        return False
    try:
        state = read_state(found[-1])
        copies.mkdir(exist_ok=True)  # not its parents: they are missing where nothing is mounted
        check_place(run_folder, place, state["step"])
        clean_up(place)
        copy_beside(run_folder, place)  # first: a checkpoint counts the rows of the metrics
        for folder in found:
            if step_of(folder) in (state.get("best_step"), state["step"]):
                copy_checkpoint(folder, place)
        rotate(place, state["step"], state.get("best_step"))
        return True
    except (OSError, CheckpointError) as error:
        reason = " ".join(str(error).split())
        warnings.warn(f"no copy of {run_folder} in {copies}: {reason}", stacklevel=2)
        return False


def fetch_run(run_folder: Path, copies: Path) -> bool:
    """Bring a run back from its copy, if it has no checkpoints of its own.

    Call it with the run's lock held, before its checkpoints are looked at.

    Args:
        run_folder: where the run shall go on; a new session's disk is empty.
        copies: the folder of copies; it need not exist.

    Returns:
        Whether a run was brought back. Each damaged checkpoint in the copy is a warning.

    Raises:
        CheckpointError: there is a copy, but no checkpoint in it is intact, or it cannot be
            read: beginning again without a word would lose the run.
    """
    place = copies / run_folder.resolve().name
    clean_up(run_folder)
    if checkpoints(run_folder):
        return False
    if not copies.parent.is_dir():
        raise CheckpointError(f"{copies} is not there: mount it, or leave the copies out")
    clean_up(place)
    found = checkpoints(place)
    try:
        if found:
            copy_beside(place, run_folder)
        fetched = [fetch_checkpoint(folder, run_folder) for folder in reversed(found)]
    except OSError as error:
        raise CheckpointError(
            f"{place} could not be brought back ({error}): make room or mount it again, and "
            f"repeat the command"
        ) from error
    if found and not any(fetched):
        raise CheckpointError(
            f"{place}: all {len(found)} checkpoints are damaged: begin another run"
        )
    return bool(found)


def fetch_checkpoint(folder: Path, run_folder: Path) -> bool:
    """Bring one checkpoint back; a damaged one is a warning and False."""
    try:
        copy_checkpoint(folder, run_folder)
        return True
    except CheckpointError as error:
        warnings.warn(f"{folder} was not brought back: {error}", stacklevel=3)
        return False


def copy_checkpoint(folder: Path, run_folder: Path) -> None:
    """Copy one checkpoint into another run folder, unless it is there, and verify it."""
    target = run_folder / "checkpoints" / folder.name
    if is_copy(folder, target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = beside(target, "part")
    try:
        part.mkdir()
        names = read_state(folder)["files"]
        for name in (*names, STATE):
            copy_file(folder / name, part / name)
        sync_folder(part)
        verify_sealed(part)
        put_in_place(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def is_copy(folder: Path, target: Path) -> bool:
    """Whether a checkpoint has its copy already: the same seal, and files of the right sizes."""
    if not os.path.lexists(target):
        return False
    try:
        state = read_state(target)
        check_names(target, state)
        for name, facts in state["files"].items():
            check_plain(target / name, facts["bytes"])
    except CheckpointError:
        return False
    return state == read_state(folder)


def copy_beside(source: Path, target: Path) -> None:
    """Copy what a run's checkpoints need beside them: metrics, settings and tokenizer."""
    for path in (*(source / name for name in BESIDE), *sorted(source.glob("tokenizer/*"))):
        place = target / path.relative_to(source)
        if path.is_file() and not (place.exists() and filecmp.cmp(path, place, shallow=False)):
            place.parent.mkdir(parents=True, exist_ok=True)
            part = place.with_name(f".{place.name}.part")
            copy_file(path, part)
            os.replace(part, place)  # what was there stays until this is whole


def check_place(run_folder: Path, place: Path, step: int) -> None:
    """Refuse a place that holds the run itself, another run, or this one at a later step."""
    if place.resolve() == run_folder.resolve():
        raise CheckpointError("that is the run itself: give a folder on another disk")
    here, there = run_folder / FILE_NAME, place / FILE_NAME
    if here.exists() and there.exists() and first_line(here) != first_line(there):
        raise CheckpointError(f"{place} holds another run: rename it, or this run")
    if (found := checkpoints(place)) and step_of(found[-1]) > step:
        raise CheckpointError(
            f"{found[-1]} is further on than step {step} of this run: go on from there, in an "
            f"empty run folder, or rename {place}"
        )


def first_line(path: Path) -> bytes:
    """The first line of a file; that of the metrics tells one run from another."""
    with path.open("rb") as file:
        return file.readline()


def copy_file(source: Path, target: Path) -> None:
    """Copy the bytes of a file through to the disk."""
    with source.open("rb") as bytes_from, target.open("wb") as bytes_to:
        shutil.copyfileobj(bytes_from, bytes_to, 1 << 20)
        bytes_to.flush()
        os.fsync(bytes_to.fileno())
