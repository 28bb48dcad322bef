"""``metrics.jsonl``: what a run measured, one JSON object a line, in the order it happened.

The first line tells the run's setting; then come, by their keys::

    {"step": 20, "learning_rate": …, "loss": …, "gradient_norm": …, "clipped_norm": …,
     "tokens": …, "seconds": …, "tokens_per_second": …, "utilization": …,
     "peak_memory": …}                      one for every update; "gradient_norms" on request;
                                            "skipped" instead of norms: float16 overflowed
    {"step": 20, "validation_loss": …}      one for every evaluation
    {"step": 20, "text": …}                 one for every sample text

`tokens` counts all of the run so far, memory is in bytes, utilization a share of the peak that
the first line names. `step` counts the updates behind the parameters that were measured: the
training loss and the validation loss of one step belong to the same parameters.
"""

import json
import os
from pathlib import Path
from typing import Any

from gptlib.errors import CheckpointError
from gptlib.files import atomic_write

FILE_NAME = "metrics.jsonl"
OLD_KEYS = {"layer_norms": "gradient_norms", "utilisation": "utilization"}  # of earlier versions
Row = dict[str, Any]


class MetricsLog:
    """Rows in memory and, for a run with a folder, in its ``metrics.jsonl``.

    `rows` are those of an earlier session to go on from; they take the place of a file there.
    """

    def __init__(self, run_folder: Path | None, rows: list[Row] | None = None) -> None:
        self.path = None if run_folder is None else run_folder / FILE_NAME
        self.rows = rows or []
        if self.path:
            with atomic_write(self.path, "w") as file:
                file.writelines(json_line(row) for row in self.rows)

    def add(self, **row: Any) -> None:
        """Append one row; it is on its way to the disk when this returns."""
        line = json_line(row)
        self.rows.append(json.loads(line))  # as it would be read back: no tuples
        if self.path:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line)

    def flush(self) -> None:
        """Return once all rows would survive a power cut: before a checkpoint counts them."""
        if self.path:
            with self.path.open("rb") as file:
                os.fsync(file.fileno())


def json_line(row: Row) -> str:
    """One row as a line of JSON; Arabic stays readable."""
    return json.dumps(row, ensure_ascii=False) + "\n"


def read_metrics(path: str | Path) -> list[Row]:
    """The rows of a metrics file, or of a run folder's.

    A last line without its end, cut off when a session was killed, is left out.

    Raises:
        CheckpointError: there is no such file, or a line before the last is not JSON.
    """
    path = Path(path)
    path = path / FILE_NAME if path.is_dir() else path
    try:
        *lines, _torn = path.read_text(encoding="utf-8").split("\n")
        rows: list[Row] = [json.loads(line) for line in lines]
        return [{OLD_KEYS.get(key, key): value for key, value in row.items()} for row in rows]
    except OSError as error:
        raise CheckpointError(f"no metrics in {path}: give the folder of a run") from error
    except (ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is damaged ({error}): restore it or start a new run"
        ) from error


def curve(rows: list[Row], name: str) -> tuple[list[int], list[float]]:
    """Steps and values of the rows that hold `name`, such as ``loss``, ready to be drawn."""
    found = [row for row in rows if name in row and "step" in row]
    return [row["step"] for row in found], [row[name] for row in found]


def tokens_per_step(rows: list[Row]) -> int:
    """How many tokens each update of a run has seen."""
    return next(row["tokens"] // (row["step"] + 1) for row in rows if "tokens" in row)


def best_validation(rows: list[Row]) -> tuple[int | None, float | None]:
    """The step with the lowest validation loss, and that loss; None before the first one."""
    steps, losses = curve(rows, "validation_loss")
    if not losses:
        return None, None
    lowest = min(losses)
    return steps[losses.index(lowest)], lowest
