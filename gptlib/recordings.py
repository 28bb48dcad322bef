"""Recordings: the curves of a reference run, small enough to keep in the repository.

A recording answers "does my curve look as it should?" where the run itself is too long, or its
text may not be shipped. It is read without torch.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gptlib import paths
from gptlib.errors import GPTLibError
from gptlib.files import atomic_write
from gptlib.training.metrics import Row, curve, read_metrics, tokens_per_step

DIGITS = 4  # of a loss: finer than any two machines agree


@dataclass(frozen=True)
class Recording:
    """One run's setting and curves; the fields are the keys of its JSON file."""

    corpus: dict[str, str] | None  # name and fingerprint
    model: dict[str, Any]
    training: dict[str, Any]
    device: str
    dtype: str
    torch: str
    tokens_per_step: int
    steps: list[int]
    losses: list[float]
    validation_steps: list[int]
    validation_losses: list[float]

    @property
    def rows(self) -> list[Row]:
        """The curves in the form of ``metrics.jsonl``, for :mod:`gptlib.plots`."""
        training = zip(self.steps, self.losses, strict=True)
        validation = zip(self.validation_steps, self.validation_losses, strict=True)
        rows: list[Row] = [
            {"step": step, "loss": loss, "tokens": (step + 1) * self.tokens_per_step}
            for step, loss in training
        ]
        return rows + [{"step": step, "validation_loss": loss} for step, loss in validation]


def record(run_folder: str | Path, path: str | Path) -> Recording:
    """Write the recording of a finished run.

    Args:
        run_folder: of the run, or its ``metrics.jsonl``.
        path: the JSON file to write.

    Raises:
        CheckpointError: there are no metrics.
    """
    recording = recording_of(read_metrics(run_folder))
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in asdict(recording).items()]
    with atomic_write(path, "w") as file:
        file.write("{\n" + ",\n".join(lines) + "\n}\n")  # one line a field: short diffs
    return recording


def recording_of(rows: list[Row]) -> Recording:
    """The recording of a run's metrics, as :meth:`Trainer.train` returns them."""
    about = rows[0]
    steps, losses = curve(rows, "loss")
    validation_steps, validation_losses = curve(rows, "validation_loss")
    return Recording(
        **{name: about[name] for name in ("corpus", "model", "training", "device", "dtype")},
        torch=about["environment"]["torch"],
        tokens_per_step=tokens_per_step(rows),
        steps=steps,
        losses=[round(loss, DIGITS) for loss in losses],
        validation_steps=validation_steps,
        validation_losses=[round(loss, DIGITS) for loss in validation_losses],
    )


def load_recording(name: str | Path) -> Recording:
    """Read a recording by its name in ``assets/recordings/``, or by its path.

    Raises:
        GPTLibError: there is none, or the file is not one.
    """
    path = Path(name)
    if path.suffix != ".json":
        path = paths.RECORDINGS / f"{name}.json"
    try:
        return Recording(**json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        known = ", ".join(sorted(file.stem for file in paths.RECORDINGS.glob("*.json"))) or "none"
        raise GPTLibError(f"no recording {str(name)!r}: known ones are {known}") from error
    except (ValueError, TypeError) as error:
        raise GPTLibError(f"{path} is no recording ({error}): record the run again") from error
