"""What is kept of a reference run, and its file in ``assets/recordings/``.

The run is made with three seeds, each of which gives other parameters and another order of the
windows. The noisy curves are thinned: each point is the mean over a block of steps.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gptcourse import paths
from gptlib.errors import ConfigError, GPTLibError
from gptlib.files import atomic_write
from gptlib.training.metrics import Row, curve, tokens_per_step

POINTS = 60  # at most, on a thinned curve: enough for its shape, a few kB in all
DIGITS = 4  # of a value: finer than any two machines agree
CURVES = ("loss", "validation_loss", "gradient_norm")


@dataclass(frozen=True)
class Curve:
    """One measured quantity: the first run's, and the range of all of them."""

    steps: list[int]
    first: list[float]
    low: list[float]
    high: list[float]


@dataclass(frozen=True)
class Recording:
    """The settings and curves of a reference run; the fields are the keys of its JSON file."""

    corpus: dict[str, str] | None  # name and fingerprint
    tokenizer: str | None
    model: dict[str, Any]
    training: dict[str, Any]
    device: str
    dtype: str
    torch: str
    seeds: list[int]
    tokens_per_step: int
    block: int  # steps behind each point of the training loss and of the gradient norm
    loss: Curve
    validation_loss: Curve
    gradient_norm: Curve

    @property
    def rows(self) -> list[Row]:
        """The first run's curves in the form of ``metrics.jsonl``, for :mod:`gptlib.plots`."""
        rows: list[Row] = [
            {"step": step, name: value}
            for name in CURVES
            for step, value in zip(
                getattr(self, name).steps, getattr(self, name).first, strict=True
            )
        ]
        for row in rows[: len(self.loss.steps)]:
            row["tokens"] = (row["step"] + 1) * self.tokens_per_step
        return rows


def recording_of(runs: list[list[Row]]) -> Recording:
    """The recording of runs that differ in their seed alone: the metrics of each."""
    about = runs[0][0]
    known = ("corpus", "tokenizer", "model", "training", "device", "dtype")
    settings: dict[str, Any] = {name: about.get(name) for name in known}
    block = max(1, math.ceil(about["training"]["steps"] / POINTS))
    curves: dict[str, Any] = {}
    for name in CURVES:
        found = [dict(zip(*points(rows, name, block), strict=True)) for rows in runs]
        steps = [step for step in found[0] if all(step in values for values in found)]
        values = np.array([[run[step] for step in steps] for run in found]).round(DIGITS)
        low, high = values.min(0).tolist(), values.max(0).tolist()
        curves[name] = Curve(steps, values[0].tolist(), low, high)
    return Recording(
        **settings,
        torch=about["environment"]["torch"],
        seeds=[rows[0]["training"]["seed"] for rows in runs],
        tokens_per_step=tokens_per_step(runs[0]),
        block=block,
        **curves,
    )


def points(rows: list[Row], name: str, block: int) -> tuple[list[int], list[float]]:
    """A run's curve as a recording keeps it.

    Validation losses stay as they are. Of the others, the middle step and the mean of every
    complete `block` of steps; the geometric mean of norms, so that one spike does not stand for
    all. Steps that float16 skipped have no norm, so a block may have fewer of them or be absent.
    Raises ConfigError when no row holds `name`.
    """
    steps, values = curve(rows, name)
    if not steps:
        raise ConfigError(f"no row of this run holds {name!r}: give the metrics of a whole run")
    if name == "validation_loss":
        return steps, values
    whole = (curve(rows, "loss")[0][-1] + 1) // block  # later blocks are not complete yet
    blocks: dict[int, list[float]] = {}
    for step, value in zip(steps, scaled(name, values).tolist(), strict=True):
        if step // block < whole:
            blocks.setdefault(step // block, []).append(value)
    means = np.array([sum(some) / len(some) for some in blocks.values()])
    middles = [number * block + block // 2 for number in blocks]
    return middles, unscaled(name, means).tolist()


def scaled(name: str, values: list[float]) -> np.ndarray:
    """Values on the axis on which they are compared: norms in logarithms."""
    numbers = np.array(values, float)
    return np.log(np.maximum(numbers, 1e-30)) if name == "gradient_norm" else numbers


def unscaled(name: str, numbers: np.ndarray) -> np.ndarray:
    """The values of :func:`scaled` in their own unit."""
    return np.exp(numbers) if name == "gradient_norm" else numbers


def save(recording: Recording, path: str | Path) -> None:
    """Write a recording: one line a field, so that two differ in few lines."""
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in asdict(recording).items()]
    with atomic_write(path, "w") as file:
        file.write("{\n" + ",\n".join(lines) + "\n}\n")


def load_recording(name: str | Path) -> Recording:
    """Read a recording by its name in ``assets/recordings/``, or by its path.

    Raises GPTLibError where there is none, or the file is not one.
    """
    path = Path(name)
    if path.suffix != ".json":
        path = paths.RECORDINGS / f"{name}.json"
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return Recording(**{**fields, **{name: Curve(**fields[name]) for name in CURVES}})
    except OSError as error:
        # Clinics, the broken runs of two exercises, lie there too and have a form of their own.
        stems = (file.stem for file in paths.RECORDINGS.glob("*.json"))
        known = ", ".join(sorted(s for s in stems if not s.startswith("clinic-"))) or "none"
        raise GPTLibError(f"no recording {str(name)!r}: known ones are {known}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise GPTLibError(f"{path} is no recording ({error!r}): record the run again") from error
