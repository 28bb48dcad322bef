"""Gradient norms: of all parameters together, and of every layer."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from gptlib.errors import ConfigError
from gptlib.plots.marks import axis_of_steps, log_axis, log_ticks, marked, points
from gptlib.plots.palette import PALETTE, STYLE
from gptlib.training.metrics import Row

LABELS = 16  # layers that can be named beside the map before their names touch


def gradient_norms(rows: list[Row], title: str = "Gradient norm") -> Figure:
    """The global gradient norm of every step, before and after clipping, on a log axis.

    Args:
        rows: a run's metrics. The limit is read from their first line.
        title: of the figure.

    Raises:
        ConfigError: no row holds the norms.
    """
    steps, before = points(rows, "gradient_norm")
    _, after = points(rows, "clipped_norm")
    limit = rows[0].get("training", {}).get("clip_norm")
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots()
        thin = {"linewidth": 1.0 if len(before) < 500 else 0.5, **marked(before)}
        axes.plot(steps, before, color=PALETTE["orange"], label="before clipping", **thin)
        axes.plot(steps, after, color=PALETTE["blue"], label="after clipping", **thin)
        if limit is not None:
            share = sum(norm > limit for norm in before) / len(before)
            label = f"limit {limit:g}: {100 * share:.0f} % of the steps clipped"
            axes.axhline(limit, color=PALETTE["vermillion"], linestyle="--", label=label)
        axes.set(title=title, ylabel="gradient norm (log)")
        log_axis(axes)
        axes.grid(which="minor", alpha=0.12)
        axis_of_steps(axes)
        figure.legend(loc="outside lower center", ncols=3)
    return figure


def layer_heat_map(rows: list[Row], title: str = "Gradient norm of every layer") -> Figure:
    """Layer by step, the gradient's norm as colour on a log scale; the first layer is at the foot.

    White is a norm of zero: no gradient arrived.

    Args:
        rows: a run's metrics with ``layer_norms``, which ``layers_every`` asks for.
        title: of the figure.

    Raises:
        ConfigError: no row holds them, or all are zero.
    """
    found = [row for row in rows if "layer_norms" in row]
    if not found:
        raise ConfigError("no row holds 'layer_norms': train with layers_every above 0")
    names = list(found[0]["layer_norms"])
    values = np.array([[row["layer_norms"][name] for row in found] for name in names])  # (L, n)
    lit = values[np.isfinite(values) & (values > 0)]
    if lit.size == 0:
        raise ConfigError("every layer's gradient is zero: the loss does not reach the model")
    low, high = float(lit.min()), float(lit.max())
    scale = LogNorm(low, max(high, 1.01 * low))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots()
        sides = edges([row["step"] for row in found])
        picture = axes.pcolormesh(sides, np.arange(len(names) + 1), values, norm=scale)
        shown = range(0, len(names), -(-len(names) // LABELS))
        axes.set_yticks([row + 0.5 for row in shown], [names[row] for row in shown])
        axes.set(title=title, ylabel="layer")
        axes.grid(False)
        axis_of_steps(axes)
        ticks = log_ticks(low, high)
        bar = figure.colorbar(picture, label="gradient norm (log)", ticks=ticks, format="{x:g}")
        bar.minorticks_off()
    return figure


def edges(steps: list[int]) -> np.ndarray:
    """The sides of the cells around some steps: half way to the neighbours."""
    centres = np.array(steps, dtype=float)
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    halves = np.diff(centres) / 2
    return np.concatenate([centres - [halves[0], *halves], [centres[-1] + halves[-1]]])
