"""What the bits of a result depend on beside code, settings and data."""

import hashlib
import platform
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import gptlib
from gptlib.data.shards import ShardWindows
from gptlib.data.windows import Rows
from gptlib.errors import CheckpointError

# How often a run is looked at does not change it, so a resumed run may look more or less often.
INTERVALS = (
    *("evaluate_every", "evaluate_batches", "sample_every", "layers_every"),
    *("checkpoint_every", "autosave_minutes"),
)


def seed_at(seed: int, position: int) -> int:
    """The seed of everything random that happens to the windows after `position` others.

    A function of the run's seed and the place in it, like the order of the windows: nothing to
    save, nothing to restore, and the same for one process as for eight.
    """
    return int(np.random.SeedSequence((seed, position)).generate_state(1, np.uint64)[0])


def environment() -> dict[str, Any]:
    """Versions and threads: with others the last bits of a result may differ."""
    return {
        "gptlib": gptlib.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def warn_of_changes(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Say what differs between two sessions: the same result is promised, the same bits are not."""
    changes = [
        f"{name} {before.get(name)} → {now[name]}" for name in now if before.get(name) != now[name]
    ]
    if changes:
        warnings.warn(
            f"{folder} goes on under {', '.join(changes)}: the last bits may differ", stacklevel=2
        )


def fingerprint_of(data: Iterable[Rows]) -> str:
    """A sha256 of windows: of a tensor's content, of the hashes that shards have already."""
    digest = hashlib.sha256()
    for rows in data:
        if isinstance(rows, ShardWindows):
            digest.update(rows.fingerprint.encode())
        else:
            digest.update(rows[:].contiguous().numpy().tobytes())
    return digest.hexdigest()


def check_same(folder: Path, what: str, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to go on with a run under other settings."""
    for name, value in now.items():
        if name not in INTERVALS and before.get(name) != value:
            raise CheckpointError(
                f"{folder}: {what} {name} was {before.get(name)}, now {value}: "
                f"go on with what the run began with, or begin another run"
            )
