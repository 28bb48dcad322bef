"""The checkpoint folders of a run: which there are, which stay, and what a kill left behind."""

import os
import re
import warnings
from pathlib import Path

from gptlib.errors import CheckpointError
from gptlib.training.sealing import delete, retire

KEPT = 2  # the newest checkpoints that stay; the best one stays as well
NAME = re.compile(r"step-\d{8,}", re.ASCII)
LEFTOVER = re.compile(r"\.(?P<name>step-\d{8,})\.[0-9a-f]{8}\.(?P<purpose>part|old|gone)", re.ASCII)


def folder_name(step: int) -> str:
    """The name of the checkpoint after `step` updates."""
    return f"step-{step:08d}"


def step_of(folder: Path) -> int:
    """The number of updates behind a checkpoint."""
    return int(folder.name.removeprefix("step-"))


def checkpoints(run_folder: Path) -> list[Path]:
    """The checkpoint folders of a run, oldest first; they may be damaged."""
    found = [
        path for path in (run_folder / "checkpoints").glob("step-*") if NAME.fullmatch(path.name)
    ]
    return sorted(found, key=step_of)


def rotate(run_folder: Path, step: int, best_step: int | None) -> None:
    """Delete the checkpoints before `step` but the newest and the best.

    One that cannot be deleted is a warning: the checkpoint that was just written is there.
    """
    past = [folder for folder in checkpoints(run_folder) if step_of(folder) <= step]
    for folder in past[:-KEPT]:
        if step_of(folder) != best_step:
            try:
                retire(folder)
            except OSError as error:
                warnings.warn(f"{folder} could not be deleted ({error.strerror})", stacklevel=2)


def clean_up(run_folder: Path) -> list[Path]:
    """Remove what a killed session left among the checkpoints.

    Call it before the run's checkpoints are looked at, and only with the run's lock held: a
    checkpoint that another process is writing looks like one that was given up.

    Args:
        run_folder: its ``checkpoints/`` need not exist. Only folders whose names are exactly
            those of :mod:`gptlib.training.sealing` are touched, and links never.

    Returns:
        What was found there. A checkpoint whose replacement was interrupted has its name back.

    Raises:
        CheckpointError: such a checkpoint could not get its name back.
    """
    found = []
    for path in sorted((run_folder / "checkpoints").glob(".step-*")):
        facts = LEFTOVER.fullmatch(path.name)
        if facts is None or path.is_symlink() or not path.is_dir():
            continue
        found.append(path)
        name = path.with_name(facts["name"])
        if facts["purpose"] == "old" and not os.path.lexists(name):
            give_back(path, name)
        else:
            delete(path)
    return found


def give_back(path: Path, name: Path) -> None:
    """Rename a checkpoint that nothing has replaced; see :func:`clean_up`."""
    try:
        os.rename(path, name)
    except OSError as error:
        raise CheckpointError(
            f"{path} could not get its name back ({error.strerror}): rename it to {name.name}"
        ) from error
