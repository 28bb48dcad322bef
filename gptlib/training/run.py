"""What is kept of a training run: its metrics always, its checkpoints where it has a folder."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gptlib.config import TrainingConfig
from gptlib.data.corpora import Corpus
from gptlib.errors import CheckpointError, RunExists
from gptlib.model import GPT
from gptlib.tokenizer import Tokenizer
from gptlib.training.checkpoint import (
    bare,
    checkpoints,
    load_checkpoint,
    restore_checkpoint,
    save_checkpoint,
)
from gptlib.training.metrics import FILE_NAME, MetricsLog, Row, best_validation, read_metrics
from gptlib.training.reproducibility import environment, random_states, restore_random_states

# How often a run is looked at does not change it, so a resumed run may look more or less often.
INTERVALS = ("evaluate_every", "sample_every", "checkpoint_every")


class Run:
    """The memory of one run.

    Args:
        folder: where it is kept; None keeps the metrics in memory and nothing else.
        config: the run's; a resumed run must have the same.
        data: every tensor that is trained or validated on, for their fingerprint.
        tokenizer: kept in ``tokenizer/``.
        corpus: named in the first line of the metrics.
    """

    def __init__(
        self,
        folder: str | Path | None,
        config: TrainingConfig,
        data: list[Tensor],
        tokenizer: Tokenizer | None,
        corpus: Corpus | None,
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self.config, self.tokenizer, self.corpus = config, tokenizer, corpus
        self.fingerprints = {
            "data": fingerprint_of(data),
            "tokenizer": tokenizer.fingerprint if tokenizer else None,
        }
        self.log = MetricsLog(None)
        self.saved_step = 0
        self.paused_at: dict[str, str] | None = None  # random states between two sessions

    def begin(self, step: int, model: GPT, optimizer: torch.optim.Optimizer, resume: bool) -> int:
        """Make ready to train: this run after a pause, the one in the folder, or a new one.

        Returns:
            The updates that are already done; the random streams stand where they stood then.

        Raises:
            RunExists: the folder holds a run and `resume` is False.
            CheckpointError: its checkpoints are damaged, or of other settings, data or model.
        """
        if self.paused_at:
            restore_random_states(self.paused_at)
            return step
        if self.folder and ((self.folder / FILE_NAME).exists() or checkpoints(self.folder)):
            if not resume:
                raise RunExists(
                    f"{self.folder} already holds a run: go on with it (resume=True, --resume) "
                    f"or give another folder"
                )
            if checkpoints(self.folder):
                return self.resume(self.folder, model, optimizer)
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)
            if self.tokenizer:
                self.tokenizer.save(self.folder / "tokenizer")
        self.log = MetricsLog(self.folder)
        self.log.add(**self.description(model))
        torch.manual_seed(self.config.seed)  # dropout draws from PyTorch's own stream
        return 0

    def resume(self, folder: Path, model: GPT, optimizer: torch.optim.Optimizer) -> int:
        """Go on from the newest intact checkpoint; see :meth:`begin`."""
        checkpoint = load_checkpoint(folder)
        state = checkpoint.state
        check_same(folder, "model", state["model"], bare(model).config.to_dict())
        before = TrainingConfig.from_dict(state["training"]).to_dict()
        check_same(folder, "training", before, self.config.to_dict())
        check_same(folder, "fingerprint of", state["fingerprints"], self.fingerprints)
        restore_checkpoint(checkpoint, model, optimizer)
        self.log = MetricsLog(folder, read_metrics(folder)[: state["metrics_rows"]])
        self.saved_step = state["step"]
        return state["step"]

    def save(self, step: int, model: GPT, optimizer: torch.optim.Optimizer) -> None:
        """Write a checkpoint, unless there is no folder or this step has one."""
        if self.folder is None or step == self.saved_step:
            return
        self.log.flush()
        best_step, best_loss = best_validation(self.log.rows)
        state = {
            "step": step,
            "samples_consumed": step * self.config.batch_size * self.config.accumulation,
            "training": self.config.to_dict(),
            "best_step": best_step,
            "best_validation": best_loss,
            "metrics_rows": len(self.log.rows),
            "fingerprints": self.fingerprints,
        }
        save_checkpoint(self.folder, model, optimizer, state)
        self.saved_step = step

    def pause(self, step: int, model: GPT, optimizer: torch.optim.Optimizer) -> None:
        """End a session: save, and remember where the random streams stand."""
        self.save(step, model, optimizer)
        self.paused_at = random_states()

    def description(self, model: GPT) -> Row:
        """The metrics' first line: what a curve cannot be read without."""
        model = bare(model)
        corpus = self.corpus
        return {
            "model": model.config.to_dict(),
            "parameters": model.n_parameters(),
            "training": self.config.to_dict(),
            "device": device_name(model.device),
            "dtype": str(model.token_embedding.weight.dtype).removeprefix("torch."),
            "corpus": corpus and {"name": corpus.name, "fingerprint": corpus.fingerprint},
            "fingerprints": self.fingerprints,
            "environment": environment(),
        }


def check_same(folder: Path, what: str, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to go on with a run under other settings."""
    for name, value in now.items():
        if name not in INTERVALS and before.get(name) != value:
            raise CheckpointError(
                f"{folder}: {what} {name} was {before.get(name)}, now {value}: "
                f"go on with what the run began with, or begin another run"
            )


def fingerprint_of(tensors: Iterable[Tensor]) -> str:
    """A sha256 of the tensors' content."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def device_name(device: torch.device) -> str:
    """``cpu``, or the GPU's own name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
