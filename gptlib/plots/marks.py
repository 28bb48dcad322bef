"""What the figures share: the points of a curve, a noisy line with its mean, the axis of steps."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from gptlib.errors import ConfigError
from gptlib.training.metrics import Row, curve, tokens_per_step

SMOOTHED_FROM = 100  # points: a shorter curve can be read as it is
FEW = 30  # points that may each have a mark without hiding the line


def points(rows: list[Row], name: str) -> tuple[list[int], list[float]]:
    """Steps and values of what a figure draws; what is not finite leaves a gap.

    Raises:
        ConfigError: no row holds `name`.
    """
    steps, values = curve(rows, name)
    if not steps:
        raise ConfigError(f"no row holds {name!r}: give the metrics of a run that measured it")
    return steps, [math.nan if value is None else value for value in values]


def places(rows: list[Row], steps: list[int], x: str) -> list[int]:
    """Steps on the axis `x`: as they are, or as the tokens seen by then.

    Raises:
        ConfigError: `x` is neither ``steps`` nor ``tokens``.
    """
    if x not in ("steps", "tokens"):
        raise ConfigError(f"x is {x!r}: draw the loss over 'steps' or 'tokens'")
    scale = tokens_per_step(rows) if x == "tokens" else 1
    return [step * scale for step in steps]


def draw_noisy(axes: Axes, x: list[int], values: list[float], label: str, **line: Any) -> None:
    """Draw every value; a long curve thin and pale, with its running mean over it."""
    width = line.pop("linewidth", 1.8)
    if len(values) < SMOOTHED_FROM:
        axes.plot(x, values, label=label, linewidth=width / 2, **marked(values), **line)
        return
    window = running_window(len(values))
    axes.plot(x, values, label=f"_{label}, every step", linewidth=0.5, alpha=0.4, **line)
    label = f"{label} (mean of {window} steps)"
    axes.plot(x, running_mean(values, window), label=label, linewidth=0.75 * width, **line)


def running_window(n: int) -> int:
    """How many neighbours the mean of a curve of `n` points takes in: an odd number."""
    return n // 40 // 2 * 2 + 3


def running_mean(values: list[float], window: int) -> list[float]:
    """The mean of each value and its neighbours, of fewer at both ends, over gaps."""
    known = np.isfinite(values)
    ones = np.ones(window)
    sums = np.convolve(np.where(known, values, 0.0), ones, mode="same")
    counts = np.convolve(known.astype(float), ones, mode="same")
    return [float(s / c) if c else math.nan for s, c in zip(sums, counts, strict=True)]


def marked(values: list[float]) -> dict[str, Any]:
    """A mark on each of a few points: alone, a single one draws no line."""
    return {"marker": "o", "markersize": 3} if len(values) <= FEW else {}


def axis_of_steps(axes: Axes, label: str = "step") -> None:
    """Whole numbers with thousands parted; a single step has its own tick and no other."""
    axes.set_xlabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter("{x:,.0f}")


def log_ticks(low: float, high: float) -> LogLocator:
    """Ticks of a log axis from `low` to `high`: 1, 2, 5 in each decade of a few, else 1 alone."""
    few = high < 100 * low
    return LogLocator(subs=(1, 2, 5) if few else (1,))


def log_axis(axes: Axes) -> None:
    """A logarithmic y axis in plain numbers; called once everything is drawn."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(log_ticks(*axes.get_ylim()))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
