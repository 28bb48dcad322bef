"""The curves of a run as figures: rows of ``metrics.jsonl`` in, a matplotlib figure out; no torch.

Where no row holds what a figure would draw, it raises ConfigError.
"""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from PIL import Image

from gptlib.errors import ConfigError, GPTLibError
from gptlib.files import atomic_write
from gptlib.training.metrics import Row, curve, tokens_per_step

PALETTE = {  # Okabe & Ito 2008: color-blind readers can tell them apart; strokes differ as well
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "gray": "#6E6E6E",
}
TRAINING, VALIDATION, REFERENCE = PALETTE["blue"], PALETTE["vermillion"], PALETTE["gray"]
STYLE: Any = {
    "figure.figsize": (7.0, 4.5),
    "figure.constrained_layout.use": True,  # makes room for labels, so that none is clipped
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.prop_cycle": plt.cycler(color=list(PALETTE.values())),
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


def style() -> None:
    """Give every figure drawn from here on the course's look; once in a notebook."""
    plt.rcParams.update(STYLE)


def measured(rows: list[Row], name: str) -> bool:
    """Whether a row holds a value of `name`; Windows, for one, tells nothing of its memory."""
    return any(value is not None for value in curve(rows, name)[1])


def points(rows: list[Row], name: str, x: str = "steps") -> tuple[list[int], list[Any]]:
    """A curve over steps, or over the tokens seen by then; a missing value leaves a gap."""
    if x not in ("steps", "tokens"):
        raise ConfigError(f"x is {x!r}: draw the loss over 'steps' or 'tokens'")
    for key in {name, x} - {"steps"}:
        if not measured(rows, key):
            raise ConfigError(f"no row holds {key!r}: give the metrics of a run that measured it")
    steps, values = curve(rows, name)
    scale = tokens_per_step(rows) if x == "tokens" else 1
    return [scale * step for step in steps], [np.nan if v is None else v for v in values]


def marked(values: list[float]) -> dict[str, Any]:
    """A mark on each of a few points, which do not hide the line; a single one draws no line."""
    return {"marker": "o", "markersize": 3} if len(values) <= 30 else {}


def axis_of_steps(axes: Axes, label: str = "step") -> None:
    """Whole numbers with thousands parted; a single step has its own tick and no other."""
    whole = MaxNLocator(6, integer=True, min_n_ticks=1)
    axes.xaxis.set(label_text=label, major_locator=whole, major_formatter="{x:,.0f}")


def log_axis(axes: Axes) -> None:
    """A logarithmic y axis in plain numbers; called once everything is drawn."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    ticks, none = LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)), NullFormatter()
    axes.yaxis.set(major_locator=ticks, major_formatter="{x:g}", minor_formatter=none)


@contextmanager
def canvas(title: str, y: str, x: str = "step", ncols: int = 2) -> Iterator[tuple[Figure, Axes]]:
    """A figure to draw in; afterwards it gets its title, its axes' names and a legend below."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots()
        yield figure, axes
        axes.set(title=title, ylabel=y)
        axis_of_steps(axes, x)
        if axes.get_legend_handles_labels()[0]:
            figure.legend(loc="outside lower center", ncols=ncols)


def loss_curves(
    rows: list[Row],
    baseline: float | None = None,
    reference: list[Row] | None = None,
    reference_name: str = "reference",
    x: str = "steps",
    title: str = "Training and validation loss",
) -> Figure:
    """Training and validation loss; a `baseline` to beat, and another run as `reference` behind."""
    with canvas(title, "loss (nats per token)", x) as (figure, axes):
        if reference is not None:
            draw_losses(axes, reference, x, reference_name, (REFERENCE, 1.2), (REFERENCE, 1.2))
        draw_losses(axes, rows, x, "", (TRAINING, 1.8), (VALIDATION, 1.8))
        if baseline is not None:
            axes.axhline(baseline, color=PALETTE["green"], ls=":", label="baseline")
        if len(curve(rows, "validation_loss")[0]) > 1:
            where, losses = points(rows, "validation_loss", x)
            place = where[losses.index(min(losses))]
            label = f"lowest validation: {min(losses):.2f} after {place:,} {x}"
            axes.axvline(place, color=PALETTE["purple"], ls="-.", lw=1.2, label=label)
    return figure


def compare(runs: dict[str, list[Row]], x: str = "steps") -> Figure:
    """The losses of named runs, a color each; over ``tokens``, other batches compare fairly."""
    if not 2 <= len(runs) <= len(PALETTE):
        raise ConfigError(f"{len(runs)} runs: draw 2 to {len(PALETTE)} over each other")
    with canvas("Runs over each other", "loss (nats per token)", x) as (figure, axes):
        for (name, rows), color in zip(runs.items(), PALETTE.values(), strict=False):
            draw_losses(axes, rows, x, name, (color, 1.2), (color, 2.6))
    return figure


def draw_losses(axes: Axes, rows: list[Row], x: str, run: str, *lines: tuple[str, float]) -> None:
    """Draw training and validation loss; `lines` are the color and the width of each."""
    # A folder may have any name: none is a formula, and nothing unprintable is drawn.
    plain = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "�", run).replace("$", r"\$")
    of = f", {plain}" if run else ""
    where, losses = points(rows, "loss", x)
    label, color, width = f"training{of}", lines[0][0], lines[0][1] / 2
    if len(losses) >= 100:  # too noisy to be read as it is: pale, under its running mean
        axes.plot(where, losses, color=color, lw=0.5, alpha=0.4)
        near = np.ones(len(losses) // 40 // 2 * 2 + 3)  # odd: as many neighbors on either side
        counts = np.convolve(np.ones(len(losses)), near, mode="same")  # fewer at both ends
        losses = list(np.convolve(losses, near, mode="same") / counts)
        label, width = f"{label} (mean of {len(near)} steps)", 1.5 * width
    axes.plot(where, losses, color=color, lw=width, label=label, **marked(losses))
    if measured(rows, "validation_loss"):
        where, losses = points(rows, "validation_loss", x)
        label, (color, width) = f"validation{of}", lines[1]
        axes.plot(where, losses, "--", color=color, lw=width, label=label, **marked(losses))


def learning_rate(rows: list[Row], title: str = "Learning rate") -> Figure:
    """The learning rate of every step."""
    steps, rates = points(rows, "learning_rate")
    with canvas(title, "learning rate") as (figure, axes):
        axes.plot(steps, rates, color=PALETTE["blue"], **marked(rates))
        axes.set_ylim(0, None)
    return figure


def gradient_norms(rows: list[Row]) -> Figure:
    """The norm of all gradients together, before and after clipping at the run's limit."""
    steps, before = points(rows, "gradient_norm")
    _, after = points(rows, "clipped_norm")
    thin = {"linewidth": 1.0 if len(before) < 500 else 0.5, **marked(before)}
    with canvas("Gradient norm", "gradient norm (log)", ncols=3) as (figure, axes):
        axes.plot(steps, before, color=PALETTE["orange"], label="before clipping", **thin)
        axes.plot(steps, after, color=PALETTE["blue"], label="after clipping", **thin)
        if limit := rows[0].get("training", {}).get("clip_norm"):
            share = sum(norm > limit for norm in before) / len(before)
            label = f"limit {limit:g}: {100 * share:.0f} % of the steps clipped"
            axes.axhline(limit, color=PALETTE["vermillion"], ls="--", label=label)
        log_axis(axes)
        axes.grid(which="minor", alpha=0.12)
    return figure


def layer_heat_map(rows: list[Row]) -> Figure:
    """The norm of each layer's gradient as color, the first layer at the foot; white is zero."""
    steps, norms = points(rows, "gradient_norms")
    names = list(norms[0])
    values = np.array([[norm[name] for norm in norms] for name in names])  # (L, n)
    lit = values[np.isfinite(values) & (values > 0)]
    if lit.size == 0:
        raise ConfigError("every layer's gradient is zero: the loss does not reach the model")
    scale: Any = {"norm": "log", "vmin": lit.min(), "vmax": max(lit.max(), 1.01 * lit.min())}
    gaps = np.diff(steps) if len(steps) > 1 else [1]
    around = np.array([steps[0] - gaps[0], *steps, steps[-1] + gaps[-1]])  # (n + 2,)
    sides = (around[:-1] + around[1:]) / 2  # of the cells: half way to the neighbors
    with canvas("Gradient norm of every layer", "layer") as (figure, axes):
        picture = axes.pcolormesh(sides, np.arange(len(names) + 1), values, **scale)
        shown = range(0, len(names), -(-len(names) // 16))  # 16 names fit before they touch
        axes.set_yticks([row + 0.5 for row in shown], [names[row] for row in shown])
        axes.grid(False)
        bar = figure.colorbar(picture, label="gradient norm (log)")
        log_axis(bar.ax)
        bar.minorticks_off()
    return figure


def throughput(rows: list[Row]) -> Figure:
    """Tokens per second, and the share of the peak FLOP/s; a first step also sets things up."""
    steps, speeds = points(rows, "tokens_per_second")
    percent = [100 * share for share in points(rows, "utilization")[1]]
    peak, source = rows[0].get("peak_flops"), rows[0].get("peak_flops_source")
    note = f"\npeak {peak / 1e12:.3g} TFLOP/s: {source}" if peak else ""
    with plt.rc_context(STYLE):
        figure, (upper, lower) = plt.subplots(2, sharex=True, figsize=(7.0, 5.5))
        for axes, values, unit, median, color in (
            (upper, speeds, "tokens per second", "{:,.0f} tokens/s", PALETTE["blue"]),
            (lower, percent, "utilization (% of peak)", "{:.1f} %", PALETTE["vermillion"]),
        ):
            rest = [value for value in values[1:] if np.isfinite(value)] or values[:1]
            axes.plot(steps[1:], values[1:], color=color, lw=1.0, **marked(values))
            label = "first step, left out"
            axes.plot(steps[:1], values[:1], "o", color=color, fillstyle="none", label=label)
            label = f"median {median.format(np.median(rest))}"
            axes.axhline(np.median(rest), color=PALETTE["gray"], ls="--", lw=1.2, label=label)
            axes.set(ylim=(0, 1.08 * max([*rest, values[0]])), ylabel=unit)
            axes.legend(loc="lower left", bbox_to_anchor=(0, 1.02), ncols=2, borderaxespad=0)
        upper.set_title("Throughput and utilization", pad=26)  # above the legend
        upper.yaxis.set_major_formatter("{x:,.0f}")
        axis_of_steps(lower, f"step{note}")
    return figure


def memory(rows: list[Row]) -> Figure:
    """The most memory taken until each step: by the tensors on a GPU, else by the process."""
    steps, peaks = points(rows, "peak_memory")
    with canvas("Peak memory", "peak memory (GiB)") as (figure, axes):
        axes.plot(steps, np.array(peaks) / 2**30, color=PALETTE["blue"], **marked(peaks))
        axes.set_ylim(0, 1.08 * np.nanmax(peaks) / 2**30)
    return figure


# For each figure of a run what its rows must hold, and how it is drawn.
FIGURES: dict[str, tuple[str, Callable[[list[Row]], Figure]]] = {
    "loss": ("loss", loss_curves),
    "loss-over-tokens": ("tokens", lambda rows: loss_curves(rows, x="tokens")),
    "learning-rate": ("learning_rate", learning_rate),
    "gradient-norms": ("clipped_norm", gradient_norms),
    "layer-norms": ("gradient_norms", layer_heat_map),
    "throughput": ("utilization", throughput),
    "memory": ("peak_memory", memory),
}


def save_all(rows: list[Row], folder: str | Path, kind: str = "png") -> list[Path]:
    """Write every figure that a run's metrics allow, over any that stands there."""
    allowed = {name: draw for name, (key, draw) in FIGURES.items() if measured(rows, key)}
    if not allowed:
        raise ConfigError("this run has not made a step: there is nothing to draw yet")
    return [save(draw(rows), Path(folder) / f"{name}.{kind}") for name, draw in allowed.items()]


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as .png, .pdf or .svg, whole or not at all, and close it."""
    path, drawn = Path(path), io.BytesIO()
    if path.suffix not in (".png", ".pdf", ".svg"):
        raise ConfigError(f"{path} would be a {path.suffix!r} file: use .png, .pdf or .svg")
    with plt.rc_context(STYLE):
        figure.savefig(drawn, format=path.suffix[1:], dpi=150)
    plt.close(figure)
    try:
        with atomic_write(path) as file:
            file.write(drawn.getvalue())
    except OSError as error:
        raise GPTLibError(f"{path}: {error.strerror}: make room or give another place") from error
    return path


class Picture:
    """What a cell ends with, not ``plt.show()``: the same to the eye in a quarter of the bytes."""

    def __init__(self, figure: Figure, dpi: int = 64) -> None:
        drawn, small = io.BytesIO(), io.BytesIO()
        self.title = figure.axes[0].get_title()
        figure.savefig(drawn, format="png", dpi=dpi)
        plt.close(figure)
        method = Image.Quantize.FASTOCTREE  # keeps the colors of small marks and of a pale grid
        few = Image.open(drawn).convert("RGB").quantize(128, method=method)
        few.save(small, "png", optimize=True)
        self.png = small.getvalue()

    def _repr_png_(self) -> bytes:  # what Jupyter shows
        return self.png

    def __repr__(self) -> str:  # where there are no pictures
        return f"<Picture: {self.title}>"
