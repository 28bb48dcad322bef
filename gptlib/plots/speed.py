"""How fast a run was, and how busy it kept the machine: two figures that are easily mixed up."""

import math
from statistics import median

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gptlib.plots.marks import axis_of_steps, marked, points
from gptlib.plots.palette import PALETTE, STYLE
from gptlib.training.metrics import Row


def throughput(rows: list[Row], title: str = "Throughput and utilisation") -> Figure:
    """Tokens per second, and the share of the machine's FLOP/s that the model used, by step.

    Two panels: one is a speed, the other a share, and no axis fits both. The first step is marked
    apart and left out of the medians, since it also prepares the machine.

    Args:
        rows: a run's metrics.
        title: of the figure.

    Raises:
        ConfigError: no row holds one of the two.
    """
    steps, speeds = points(rows, "tokens_per_second")
    _, shares = points(rows, "utilisation")
    peak, source = rows[0].get("peak_flops"), rows[0].get("peak_flops_source")
    note = f"\npeak {peak / 1e12:.3g} TFLOP/s: {source}" if peak else ""
    with plt.rc_context(STYLE):
        figure, (upper, lower) = plt.subplots(2, sharex=True, figsize=(7.0, 5.5))
        draw_rate(upper, steps, speeds, "{:,.0f} tokens/s", PALETTE["blue"])
        upper.set_title(title, pad=26)  # above the legend
        upper.set_ylabel("tokens per second")
        upper.yaxis.set_major_formatter("{x:,.0f}")
        percent = [100 * share for share in shares]
        draw_rate(lower, steps, percent, "{:.1f} %", PALETTE["vermillion"])
        lower.set_ylabel("utilisation (% of peak)")
        axis_of_steps(lower, f"step{note}")
    return figure


def draw_rate(axes: Axes, steps: list[int], values: list[float], unit: str, color: str) -> None:
    """One panel: the first step hollow, the others a line, and their median."""
    axes.plot(steps[1:], values[1:], color=color, linewidth=1.0, **marked(values), label="_steps")
    axes.plot(
        steps[:1], values[:1], "o", color=color, fillstyle="none", label="first step, left out"
    )
    rest = [value for value in values[1:] or values if math.isfinite(value)]
    if rest:
        middle = median(rest)
        label = f"median {unit.format(middle)}"
        axes.axhline(middle, color=PALETTE["grey"], linestyle="--", linewidth=1.2, label=label)
    axes.set_ylim(0, 1.08 * max([*rest, values[0]]))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.02), ncols=2, borderaxespad=0)
