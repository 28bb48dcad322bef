"""What is kept of a training run: its metrics always, its checkpoints where it has a folder."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import torch

from gptlib.config import TrainingConfig
from gptlib.data.windows import Rows
from gptlib.errors import RunExists, RunInUse
from gptlib.files import atomic_write, lock
from gptlib.model import GPT
from gptlib.settings import to_toml
from gptlib.tokenizer import Tokenizer
from gptlib.training import parallel
from gptlib.training.checkpoint import load_checkpoint, restore_checkpoint, save_checkpoint
from gptlib.training.copies import check_copies, copy_run, fetch_run
from gptlib.training.metrics import FILE_NAME, MetricsLog, Row, best_validation, read_metrics
from gptlib.training.precision import Precision
from gptlib.training.reproducibility import check_same, fingerprint_of, warn_of_changes
from gptlib.training.rotation import checkpoints, clean_up, step_of


class Run:
    """The memory of one run.

    Args:
        folder: where it is kept; None keeps the metrics in memory and nothing else.
        config: the run's; a resumed run must have the same.
        data: all windows that are trained or validated on, for their fingerprint.
        tokenizer: kept in ``tokenizer/``.
        copies: a second folder, on another disk, in which every checkpoint is kept as well.
    """

    def __init__(
        self,
        folder: str | Path | None,
        config: TrainingConfig,
        data: list[Rows],
        tokenizer: Tokenizer | None,
        copies: str | Path | None = None,
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self.copies = None if copies is None else Path(copies)
        self.config, self.tokenizer = config, tokenizer
        self.fingerprints = {
            "data": fingerprint_of(data),
            "tokenizer": tokenizer.fingerprint if tokenizer else None,
        }
        self.log = MetricsLog(None)
        self.saved_step = 0
        self.saved_at, self.save_seconds = time.monotonic(), 0.0  # of the last checkpoint

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training in the folder at the same time.

        Raises:
            RunInUse: one does.
        """
        if self.folder is None or parallel.rank() > 0:
            yield
            return
        try:
            with lock(f"{self.folder}/", timeout=0):
                yield
        except filelock.Timeout as error:
            raise RunInUse(
                f"{self.folder} is being trained in by another process: wait for it, stop it, "
                f"or give another folder"
            ) from error

    def begin(
        self,
        about: Row,
        model: GPT,
        optimizer: torch.optim.Optimizer,
        precision: Precision,
        resume: bool,
    ) -> int:
        """Make ready to train: the run in the folder, or a new one.

        Args:
            about: the first row of the metrics.
            model, optimizer, precision: what a checkpoint is put back into.
            resume: go on with what is in the folder, if there is a run.

        Returns:
            The updates that are already done.

        Raises:
            RunExists: the folder holds a run and `resume` is False.
            CheckpointError: its checkpoints are damaged, or of other settings, data or model.
        """
        first, self.environment = parallel.rank() == 0, about["environment"]
        about = {**about, "fingerprints": self.fingerprints}
        self.saved_at = time.monotonic()
        if self.folder and first:
            clean_up(self.folder)
            if self.copies:
                self.ready_copies(self.folder, self.copies, model, resume)
        parallel.wait()
        if self.folder and ((self.folder / FILE_NAME).exists() or checkpoints(self.folder)):
            if not resume:
                raise RunExists(
                    f"{self.folder} already holds a run: go on with it (resume=True, --resume) "
                    f"or give another folder"
                )
            if checkpoints(self.folder):
                return self.resume(self.folder, about, model, optimizer, precision)
        parallel.wait()  # nobody writes before everybody has looked
        if self.folder and first:
            if self.tokenizer:
                self.tokenizer.save(self.folder / "tokenizer")
            with atomic_write(self.folder / "settings.toml", "w") as file:
                file.write(to_toml(self.config))
        self.log = MetricsLog(self.folder if first else None)
        self.log.add(**about)
        return 0

    def ready_copies(self, folder: Path, copies: Path, model: GPT, resume: bool) -> None:
        """Find what is wrong with the second folder now, and bring this run back from it."""
        place = check_copies(folder, copies, resume)
        if checkpoints(place) and not checkpoints(folder):
            self.check(place, read_metrics(place)[0], model)  # its first row tells what it is
            fetch_run(folder, copies)

    def check(self, folder: Path, state: dict[str, Any], model: GPT) -> None:
        """Refuse a run of another model, other settings or other data."""
        for what, now in (("model", model.config), ("training", self.config)):
            before = type(now).from_dict(state[what])  # defaults for fields that came later
            check_same(folder, what, before.to_dict(), now.to_dict())
        check_same(folder, "fingerprint of", state["fingerprints"], self.fingerprints)

    def resume(
        self,
        folder: Path,
        about: Row,
        model: GPT,
        optimizer: torch.optim.Optimizer,
        precision: Precision,
    ) -> int:
        """Go on from the newest intact checkpoint; see :meth:`begin`."""
        checkpoint = load_checkpoint(folder)
        state = checkpoint.state
        self.check(folder, state, model)
        rows = read_metrics(folder)[: state["metrics_rows"]]
        if len(rows) < state["metrics_rows"]:
            warnings.warn(f"{folder}: {FILE_NAME} has lost rows: curves have a gap", stacklevel=2)
        warn_of_changes(folder, state["environment"], about["environment"])
        restore_checkpoint(checkpoint, model, optimizer)
        precision.restore(state["precision"])
        parallel.wait()  # everybody has read before anybody writes
        self.log = MetricsLog(folder if parallel.rank() == 0 else None, rows)
        self.saved_step = state["step"]
        return state["step"]

    def save(
        self, step: int, model: GPT, optimizer: torch.optim.Optimizer, precision: Precision
    ) -> None:
        """Write a checkpoint, unless there is no folder or this step has one."""
        if self.folder is None or step == self.saved_step or parallel.rank() > 0:
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
            "precision": precision.state(),
            "environment": self.environment,
        }
        save_checkpoint(self.folder, model, optimizer, state)
        if self.copies:
            copy_run(self.folder, self.copies)
        self.saved_step, self.saved_at = step, time.monotonic()
        self.save_seconds = self.saved_at - started

    def overdue(self) -> bool:
        """Whether the last checkpoint is older than `autosave_minutes`."""
        minutes = self.config.autosave_minutes
        return minutes > 0 and time.monotonic() - self.saved_at > 60 * minutes
