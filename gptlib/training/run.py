"""A run's folder: one process at a time, its metrics, and checkpoints to go on from."""

import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock
import torch
from loguru import logger
from tqdm import tqdm

from gptlib.config import GPTConfig, TrainingConfig, to_toml
from gptlib.data.dataset import TokenDataset, fingerprint
from gptlib.errors import CheckpointError, FolderError
from gptlib.files import atomic_write, lock
from gptlib.model import GPT
from gptlib.tokenizer import Tokenizer
from gptlib.training import distributed
from gptlib.training.checkpoint import (
    check_room,
    checkpoints,
    load_checkpoint,
    restore_checkpoint,
    save_checkpoint,
    step_of,
)
from gptlib.training.metrics import FILE_NAME, MetricsLog, Row, best_validation, read_metrics
from gptlib.training.step import Precision

SETTINGS = "settings.toml"
# How often a run is looked at does not change it, so a resumed run may look more or less often.
INTERVALS = (
    *("evaluate_every", "evaluate_batches", "sample_every", "log_layers_every"),
    *("checkpoint_every", "autosave_minutes"),
)


class Run:
    """What is kept of a training run: its metrics always, checkpoints where it has a folder.

    Args:
        folder: where it is kept; None keeps the metrics in memory and nothing else.
        model, optimizer, precision: what a checkpoint holds.
        config: the run's; a resumed run must have the same.
        data: all that is trained or validated on, for its fingerprint.
        tokenizer: kept in ``tokenizer/``.

    Raises:
        CheckpointError: the disk has no room for a checkpoint.
    """

    def __init__(
        self,
        folder: str | Path | None,
        model: GPT,
        optimizer: torch.optim.Optimizer,
        precision: Precision,
        config: TrainingConfig,
        data: list[TokenDataset],
        tokenizer: Tokenizer | None,
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self.model, self.optimizer, self.precision = model, optimizer, precision
        self.config, self.tokenizer = config, tokenizer
        its = tokenizer.fingerprint if tokenizer else None
        self.fingerprints = {"data": fingerprint(*data), "tokenizer": its}
        if self.folder:
            check_room(self.folder, model)
        self.log = MetricsLog(None)
        self.saved_step = 0
        self.saved_at, self.save_seconds = time.monotonic(), 0.0  # of the last checkpoint

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from the folder, and remove what a killed one left; FolderError."""
        if self.folder is None or distributed.rank() > 0:
            yield
            return
        try:
            with lock(f"{self.folder}/", timeout=0):
                remove_leftovers(self.folder)
                yield
        except filelock.Timeout as error:
            raise FolderError(
                f"{self.folder} is being trained in by another process: wait for it, stop it, "
                f"or give another folder"
            ) from error

    def begin(self, info: Row, resume: bool) -> int:
        """Make ready to train: the run in the folder, or a new one.

        Args:
            info: the first row of the metrics.
            resume: go on with what is in the folder, if there is a run.

        Returns:
            The updates that are already done.

        Raises:
            FolderError: the folder holds a run and `resume` is False.
            CheckpointError: its checkpoints are damaged, or of other settings, data or model.
        """
        self.environment, self.saved_at = info["environment"], time.monotonic()
        distributed.barrier()  # until the first process has removed what was left
        found = checkpoints(self.folder) if self.folder else []
        if self.folder and (found or (self.folder / FILE_NAME).exists()) and not resume:
            raise FolderError(
                f"{self.folder} already holds a run: go on with it (resume=True, --resume) "
                f"or give another folder"
            )
        rows = self.restore(self.folder) if self.folder and found else []
        distributed.barrier()  # nobody writes before everybody has read
        folder = self.folder if distributed.rank() == 0 else None
        if folder:
            if self.tokenizer and not found:
                self.tokenizer.save(folder / "tokenizer")
            with atomic_write(folder / SETTINGS, "w") as file:
                file.write(to_toml(self.config))
        self.log = MetricsLog(folder, rows)
        if not rows:
            self.log.add(**info, fingerprints=self.fingerprints)
        return self.saved_step

    def restore(self, folder: Path) -> list[Row]:
        """Go on from the newest intact checkpoint; returns the rows of the metrics up to it."""
        checkpoint = load_checkpoint(folder)
        state = checkpoint.state
        if "metrics_rows" not in state:
            raise CheckpointError(
                f"{checkpoint.folder} is a model without a run: export it, and begin a run with "
                f"--init-from FOLDER"
            )
        # defaults stand for fields that came later
        shape, training = GPTConfig.from_dict(state["model"]), self.config.to_dict()
        before = TrainingConfig.from_dict(state["training"])
        if self.config.extends(before):
            training |= {"steps": before.steps, "schedule_steps": before.schedule_steps}
        check_same(folder, "model", shape.to_dict(), self.model.config.to_dict())
        check_same(folder, "training", before.to_dict(), training)
        check_same(folder, "fingerprint of", state["fingerprints"], self.fingerprints)
        rows = intact_rows(folder / FILE_NAME)[: state["metrics_rows"]]
        if len(rows) < state["metrics_rows"]:
            warnings.warn(f"{folder}: {FILE_NAME} has lost rows: curves have a gap", stacklevel=2)
        then = state["environment"]
        changes = [
            f"{name} {then.get(name)} → {value}"
            for name, value in self.environment.items()
            if then.get(name) != value
        ]
        if changes:  # the same result is promised, the same bits are not
            warnings.warn(
                f"{folder} goes on under {', '.join(changes)}: the last bits may differ",
                stacklevel=2,
            )
        restore_checkpoint(checkpoint, self.model, self.optimizer)
        self.precision.restore(state["precision"])
        self.saved_step = state["step"]
        return rows

    def save(self, step: int) -> None:
        """Write a checkpoint, unless there is no folder or this step has one."""
        if self.folder is None or step == self.saved_step or distributed.rank() > 0:
            return
        started = time.monotonic()
        self.log.flush()
        kept = {step, *map(step_of, checkpoints(self.folder))}
        best_step, best_loss = best_validation(
            [row for row in self.log.rows if row.get("step") in kept]
        )
        state = {
            "step": step,
            "samples_consumed": step * self.config.batch_size * self.config.accumulation,
            "training": self.config.to_dict(),
            "best_step": best_step,
            "best_validation": best_loss,
            "metrics_rows": len(self.log.rows),
            "fingerprints": self.fingerprints,
            "precision": self.precision.scaler.state_dict(),
            "environment": self.environment,
        }
        save_checkpoint(self.folder, self.model, self.optimizer, state)
        self.saved_step, self.saved_at = step, time.monotonic()
        self.save_seconds = self.saved_at - started

    def overdue(self) -> bool:
        """Whether the last checkpoint is older than `autosave_minutes`."""
        minutes = self.config.autosave_minutes
        return minutes > 0 and time.monotonic() - self.saved_at > 60 * minutes


def remove_leftovers(run_folder: Path) -> None:
    """Remove what a killed process left in a run's folder; call it with the run's lock held."""
    for left in (run_folder / "checkpoints").glob(".step-*.*"):
        folder = left.with_name(left.name.split(".")[1])
        if left.suffix == ".old" and not folder.exists():
            os.rename(left, folder)
        else:
            shutil.rmtree(left, ignore_errors=True)
    for left in (*run_folder.glob(".*.part"), *run_folder.glob("tokenizer/.*.part")):
        left.unlink()


def intact_rows(file: Path) -> list[Row]:
    """The rows of a metrics file, none of one that is damaged, which is kept under another name."""
    try:
        return read_metrics(file)
    except CheckpointError:
        with suppress(FileNotFoundError):
            file.replace(file.with_suffix(".damaged"))
        return []


def check_same(folder: Path, what: str, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to go on with a run under other settings."""
    for name, value in now.items():
        if name not in INTERVALS and before.get(name) != value:
            raise CheckpointError(
                f"{folder}: {what} {name} was {before.get(name)}, now {value}: "
                f"go on with what the run began with, or begin another run"
            )


@contextmanager
def log_to(path: str | Path) -> Iterator[Callable[[str], None]]:
    """A function for `Trainer(report=…)`: lines with their time in a file and above the bar."""
    with suppress(ValueError):
        logger.remove(0)  # loguru's first sink would say every line a second time
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:  # a path itself would be a template to loguru
        sinks = [
            logger.add(sink, format="{time:HH:mm:ss} {message}")
            for sink in (file, lambda line: tqdm.write(line, sys.stderr, end=""))
        ]
        try:
            yield logger.info
        finally:
            for sink in sinks:
                logger.remove(sink)
