"""Is my curve normal? A run held against the band of a recording, in a sentence and a figure.

Three seeds show too small a range: half of a fourth run's points lie outside it. So the band is
widened on each side by `WIDENING` times the widest range among the neighboring points. Norms are
held against each other on a log scale, as they are drawn.

Measured on a model of 30,000 parameters (characters of sample-story, 200 steps; 1,000 draws of
three recorded seeds and a fresh one out of 40): 97 % of a fresh run's points lie in the band. They
hang together, though: 11 % of these healthy runs have more than `TOLERATED` of some curve's points
outside. What is outside is therefore called unusual, never wrong. With the larger model of the
recording 09-sample-story, 10 of 10 fresh seeds were normal, 99.8 % inside.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from gptcourse.reference_runs.recording import (
    CURVES,
    Curve,
    Recording,
    load_recording,
    points,
    scaled,
    unscaled,
)
from gptlib import plots
from gptlib.plots import PALETTE, STYLE, axis_of_steps, log_axis, marked
from gptlib.training.metrics import Row, curve, read_metrics

WIDENING = 2.0  # ranges of three seeds, on each side
NEIGHBORS = 2  # points on each side whose range counts: a bend comes earlier or later by seed
LEAST = {"loss": 0.02, "validation_loss": 0.02, "gradient_norm": 0.05}  # nats; of ln(norm)
TOLERATED = 0.1  # share of a curve's points that may lie outside
CALLED = {
    "loss": "training loss",
    "validation_loss": "validation loss",
    "gradient_norm": "gradient norm",
}
# These change how a run is looked at or how fast it goes, not where its curves lie.
HARMLESS = (
    *("seed", "evaluate_every", "sample_every", "checkpoint_every", "autosave_minutes"),
    *("layers_every", "log_layers_every", "compile", "precision"),
)
NAMED = 3  # differences: enough to see that two runs are not meant to be compared


def widened(name: str, recorded: Curve) -> tuple[list[float], list[float]]:
    """The lower and upper side of the band in which a fresh run's points are expected."""
    low, high = scaled(name, recorded.low), scaled(name, recorded.high)
    around = np.pad(high - low, NEIGHBORS)
    widest = np.lib.stride_tricks.sliding_window_view(around, 2 * NEIGHBORS + 1).max(axis=1)
    margin = np.maximum(WIDENING * widest, LEAST[name])
    return unscaled(name, low - margin).tolist(), unscaled(name, high + margin).tolist()


@dataclass(frozen=True)
class Deviation:
    """Where one curve of a run lies, at every point that it shares with a recording."""

    steps: list[int]
    values: list[float]
    beyond: list[float]  # 0 in the band, above 0 over it, below 0 under it; norms: of ln(norm)

    @property
    def outside(self) -> list[int]:
        """The steps of the points outside the band."""
        return [step for step, far in zip(self.steps, self.beyond, strict=True) if far != 0]

    @property
    def unusual(self) -> bool:
        """Whether more points lie outside than most healthy runs have there."""
        return len(self.outside) > TOLERATED * len(self.steps)


def deviation(rows: list[Row], recording: Recording, name: str) -> Deviation:
    """Hold one curve of a run, which may still be going on, against the recorded band."""
    recorded: Curve = getattr(recording, name)
    mine = dict(zip(*points(rows, name, recording.block), strict=True))
    at = [place for place, step in enumerate(recorded.steps) if step in mine]
    steps = [recorded.steps[place] for place in at]
    values = [mine[step] for step in steps]
    low, high = (scaled(name, side)[at] for side in widened(name, recorded))
    numbers = scaled(name, values)
    beyond = np.maximum(numbers - high, 0) + np.minimum(numbers - low, 0)
    beyond[~np.isfinite(values)] = math.inf
    return Deviation(steps, values, beyond.tolist())


def verdict(rows: list[Row], recording: Recording) -> str:
    """Whether a run's curves look as the recorded run's did, in two or three sentences.

    A curve is unusual if more than a tenth of its points lie outside the widened band. About one
    healthy run in ten is called unusual, so the sentence says where it leaves the band and does
    not condemn. The run may still go on. Where its text or settings differ from the recorded, the
    differences are named and nothing is judged: a curve may lie elsewhere for that reason alone.
    Raises ConfigError when no row holds a training loss.
    """
    found = {name: deviation(rows, recording, name) for name in recorded_in(rows)}
    if differences := different_settings(rows[0], recording):
        more = [f"and {len(differences) - NAMED} more"] if len(differences) > NAMED else []
        named = "; ".join(differences[:NAMED] + more)
        return f"This run cannot be judged by that recording: {named}."
    if not found["loss"].steps:
        return (
            f"Too early to tell: the recording's first point is the mean of {recording.block} "
            f"steps, this run has {len(curve(rows, 'loss')[0])}."
        )
    where = "; ".join(f"{CALLED[name]} {told(name, each)}" for name, each in found.items())
    if not any(each.unusual for each in found.values()):
        going = len(found["loss"].steps) < len(recording.loss.steps)
        return f"Your curve is normal{' so far' if going else ''}: {where}."
    return (
        f"Your curve is unusual: {where}. One healthy run in ten looks unusual: repeat yours with "
        f"another seed before you search for long."
    )


def recorded_in(rows: list[Row]) -> list[str]:
    """Every curve that a run has; the training loss it must have."""
    return [name for name in CURVES if name == "loss" or curve(rows, name)[0]]


def told(name: str, found: Deviation) -> str:
    """Where one curve lies, in words."""
    total, outside = len(found.steps), found.outside
    if not outside:
        return f"in the band at all {total} points"
    far = max(found.beyond, key=abs)
    size = f"{abs(far):.2f} nats"
    if name == "gradient_norm":
        size = f"a factor of {math.exp(min(abs(far), 99)):.2f}"
    span = f"step {outside[0]:,}"
    if len(outside) > 1:
        span = f"between steps {outside[0]:,} and {outside[-1]:,}"
    side = "above" if far > 0 else "below"
    return (
        f"outside the band at {len(outside)} of {total} points ({span}), {side} it by up to {size}"
    )


def different_settings(about: Row, recording: Recording) -> list[str]:
    """Every setting of a run, from its first row, that moves its curves and is not the recorded."""
    found = []
    text, recorded = about.get("corpus") or {}, recording.corpus or {}
    if text.get("fingerprint") != recorded.get("fingerprint"):
        names = text.get("name", "unnamed"), recorded.get("name", "unnamed")
        version = " (another version of it)" if names[0] == names[1] else ""
        found.append(f"its text is {names[0]}{version}, recorded {names[1]}")
    mine, theirs = moving(about), moving(asdict(recording))
    for name, value in mine.items():
        if None not in (value, theirs.get(name)) and not same(value, theirs[name]):
            found.append(f"{name} is {value}, recorded {theirs[name]}")
    return found


def same(mine: Any, theirs: Any) -> bool:
    """Whether two settings are equal; 3e-3 / 10 is not 3e-4 to the last bit, but the same rate."""
    if isinstance(mine, float) and isinstance(theirs, float):
        return math.isclose(mine, theirs)
    return bool(mine == theirs)


def moving(about: Row) -> dict[str, Any]:
    """The settings that move a curve; of a step's windows only the product does."""
    training = {k: v for k, v in about.get("training", {}).items() if k not in HARMLESS}
    windows = training.pop("batch_size", 1) * training.pop("accumulation", 1)
    tokenizer = {"tokenizer": about.get("tokenizer")}
    return {**tokenizer, **about.get("model", {}), "windows of a step": windows, **training}


def over_band(rows: list[Row], recording: Recording, title: str | None = None) -> Figure:
    """A run over the band in which a fresh run with the recorded settings is expected.

    Dark gray is the range of the recorded seeds, light gray the widened band by which
    :func:`verdict` judges; a ring marks each point outside it. Left out, the title names the
    recorded text. Raises ConfigError when no row holds a training loss.
    """
    shown = recorded_in(rows)
    text = (recording.corpus or {}).get("name", "another text")
    with plt.rc_context(STYLE):
        size = (7.0, 1.2 + 2.1 * len(shown))
        figure, grid = plt.subplots(len(shown), sharex=True, squeeze=False, figsize=size)
        panels = list(grid[:, 0])
        for axes, name in zip(panels, shown, strict=True):
            kept, found = getattr(recording, name), deviation(rows, recording, name)
            flat: Any = {"color": PALETTE["gray"], "linewidth": 0}
            band, seeds = widened(name, kept), (kept.low, kept.high)
            axes.fill_between(kept.steps, *band, alpha=0.2, label="where a run is expected", **flat)
            axes.fill_between(kept.steps, *seeds, alpha=0.5, label="recorded seeds", **flat)
            line = {"color": PALETTE["blue"], "label": "this run", **marked(found.values)}
            axes.plot(found.steps, found.values, **line)
            at = [found.values[found.steps.index(step)] for step in found.outside]
            ring: Any = {"color": PALETTE["vermillion"], "fillstyle": "none", "markersize": 7}
            axes.plot(found.outside, at, "o", label="outside", **ring)
            unit = "log" if name == "gradient_norm" else "nats per token"
            axes.set_ylabel(f"{CALLED[name]}\n({unit})")
            if name == "gradient_norm":
                log_axis(axes)
        panels[0].set_title(
            title or f"This run over {len(recording.seeds)} recorded ones on {text}"
        )
        axis_of_steps(panels[-1])
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def compare_with(run: Path, name: str, out: Path | None) -> tuple[str, Path]:
    """Hold a run's folder against a recording, by name or file.

    Returns the sentence, and the figure's file: `out`, or ``figures/over-NAME.png`` in the run.
    Raises CheckpointError when the folder holds no metrics.
    """
    plt.switch_backend("agg")
    rows, recording = read_metrics(run), load_recording(name)
    out = out or run / "figures" / f"over-{Path(name).stem}.png"
    return verdict(rows, recording), plots.save(over_band(rows, recording), out)
