"""The curves of a run as figures. Plain rows and lists in, a matplotlib figure out; no torch.

Colours are from Okabe & Ito 2008, which colour-blind readers can tell apart; lines that stand
together also differ in their stroke.
"""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gptlib.errors import ConfigError
from gptlib.recordings import Recording
from gptlib.training.metrics import Row, best_validation, curve, tokens_per_step

PALETTE = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "grey": "#6E6E6E",
}
TRAINING, VALIDATION, REFERENCE = PALETTE["blue"], PALETTE["vermillion"], PALETTE["grey"]

STYLE: Any = {
    "figure.figsize": (7.0, 4.5),
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,  # makes room for labels, so that none is clipped
    "savefig.dpi": 150,
    "font.size": 10,
    "axes.titlesize": 12,
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


def loss_curves(
    rows: list[Row],
    baseline: float | None = None,
    mark_minimum: bool = True,
    recording: Recording | None = None,
    x: str = "steps",
    title: str = "Training and validation loss",
) -> Figure:
    """Training and validation loss of one run.

    Args:
        rows: a run's metrics.
        baseline: a loss to beat, as a dotted line, in nats per token.
        mark_minimum: mark the lowest validation loss, where memorising begins.
        recording: another run, drawn thin and grey behind this one.
        x: ``steps`` or ``tokens``.
        title: of the figure.

    Raises:
        ConfigError: `x` is neither.
    """
    if x not in ("steps", "tokens"):
        raise ConfigError(f"x is {x!r}: draw the loss over 'steps' or 'tokens'")
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots()
        if recording is not None:
            name = (recording.corpus or {}).get("name", "another text")
            draw_loss(axes, recording.rows, x, f", recorded on {name}", REFERENCE, REFERENCE, 1.2)
        draw_loss(axes, rows, x, "", TRAINING, VALIDATION, 1.8)
        if baseline is not None:
            axes.axhline(baseline, color=PALETTE["green"], linestyle=":", label="baseline")
        if mark_minimum:
            mark_lowest(axes, rows, x)
        axes.set(title=title, xlabel=x, ylabel="loss (nats per token)")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        figure.legend(loc="outside lower center", ncols=2)  # beside the curves, never on them
    return figure


def draw_loss(
    axes: Axes,
    rows: list[Row],
    x: str,
    label: str,
    training_color: str,
    validation_color: str,
    width: float,
) -> None:
    """Draw a run's two curves."""
    scale = tokens_per_step(rows) if x == "tokens" else 1
    steps, losses = curve(rows, "loss")
    places = [step * scale for step in steps]
    axes.plot(places, losses, color=training_color, linewidth=width / 2, label=f"training{label}")
    steps, losses = curve(rows, "validation_loss")
    axes.plot(
        [step * scale for step in steps],
        losses,
        color=validation_color,
        linewidth=width,
        linestyle="--",
        marker="o",
        markersize=2 * width,
        label=f"validation{label}",
    )


def mark_lowest(axes: Axes, rows: list[Row], x: str) -> None:
    """A line at the lowest validation loss: beyond it the model memorises."""
    step, loss = best_validation(rows)
    if step is None or loss is None:
        return
    place = step * (tokens_per_step(rows) if x == "tokens" else 1)
    label = f"lowest validation: {loss:.2f} after {place:,} {x}"
    axes.axvline(place, color=PALETTE["purple"], linestyle="-.", linewidth=1.2, label=label)


def learning_rate(rates: list[float] | list[Row], title: str = "Learning rate") -> Figure:
    """The learning rate of every step.

    Args:
        rates: one rate for each step, or a run's metrics.
        title: of the figure.
    """
    values = [rate for rate in rates if not isinstance(rate, dict)]
    steps = list(range(len(values)))
    if not values:
        steps, values = curve([row for row in rates if isinstance(row, dict)], "learning_rate")
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots()
        axes.plot(steps, values, color=PALETTE["blue"])
        axes.set(title=title, xlabel="step", ylabel="learning rate", ylim=(0, None))
    return figure


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as .png, .pdf or .svg, and close it.

    Raises:
        ConfigError: another kind of file was asked for.
    """
    path = Path(path)
    if path.suffix not in (".png", ".pdf", ".svg"):
        raise ConfigError(f"{path} would be a {path.suffix!r} file: use .png, .pdf or .svg")
    path.parent.mkdir(parents=True, exist_ok=True)
    with plt.rc_context(STYLE):
        figure.savefig(path)
    plt.close(figure)
    return path
