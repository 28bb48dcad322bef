"""The loss and the learning rate of a run, and several runs over each other."""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gptlib.errors import ConfigError
from gptlib.plots.marks import axis_of_steps, draw_noisy, marked, places, points
from gptlib.plots.palette import PALETTE, REFERENCE, STYLE, TRAINING, VALIDATION
from gptlib.training.metrics import Row, best_validation, curve


def loss_curves(
    rows: list[Row],
    baseline: float | None = None,
    mark_minimum: bool = True,
    reference: list[Row] | None = None,
    reference_name: str = "reference",
    x: str = "steps",
    title: str = "Training and validation loss",
) -> Figure:
    """Training and validation loss of one run.

    Args:
        rows: a run's metrics.
        baseline: a loss to beat, as a dotted line, in nats per token.
        mark_minimum: mark the lowest validation loss, where memorising begins.
        reference: metrics of another run, drawn thin and gray behind this one.
        reference_name: what the legend calls it.
        x: ``steps`` or ``tokens``.
        title: of the figure.

    Raises:
        ConfigError: `x` is neither, or no row holds a loss.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots()
        if reference is not None:
            draw_loss(axes, reference, x, f", {reference_name}", REFERENCE, REFERENCE, 1.2)
        draw_loss(axes, rows, x, "", TRAINING, VALIDATION, 1.8)
        if baseline is not None:
            axes.axhline(baseline, color=PALETTE["green"], linestyle=":", label="baseline")
        if mark_minimum:
            mark_lowest(axes, rows, x)
        axes.set(title=title, ylabel="loss (nats per token)")
        axis_of_steps(axes, x)
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
    """Draw a run's two curves, or the training loss alone where nothing was validated."""
    steps, losses = points(rows, "loss")
    color = training_color
    draw_noisy(
        axes, places(rows, steps, x), losses, f"training{label}", color=color, linewidth=width
    )
    steps, losses = curve(rows, "validation_loss")
    if losses:
        axes.plot(
            places(rows, steps, x),
            losses,
            color=validation_color,
            linewidth=width,
            linestyle="--",
            label=f"validation{label}",
            **marked(losses),
        )


def mark_lowest(axes: Axes, rows: list[Row], x: str) -> None:
    """A line at the lowest validation loss: beyond it the model memorises."""
    step, loss = best_validation(rows)
    if step is None or loss is None or len(curve(rows, "validation_loss")[0]) < 2:
        return
    place = places(rows, [step], x)[0]
    label = f"lowest validation: {loss:.2f} after {place:,} {x}"
    axes.axvline(place, color=PALETTE["purple"], linestyle="-.", linewidth=1.2, label=label)


def compare(
    runs: dict[str, list[Row]], x: str = "steps", title: str = "Runs over each other"
) -> Figure:
    """The losses of two or more runs: training thin, validation thick, a colour a run.

    Args:
        runs: for each label the run's metrics.
        x: ``steps`` or ``tokens``; tokens are fair to runs with batches of different size.
        title: of the figure.

    Raises:
        ConfigError: one run alone, more than there are colours, or a run without losses.
    """
    if not 2 <= len(runs) <= len(PALETTE):
        raise ConfigError(f"{len(runs)} runs: draw 2 to {len(PALETTE)} over each other")
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots()
        for (label, rows), color in zip(runs.items(), PALETTE.values(), strict=False):
            steps, losses = points(rows, "loss")
            where = places(rows, steps, x)
            draw_noisy(axes, where, losses, f"{label}: training", color=color, linewidth=1.2)
            steps, losses = curve(rows, "validation_loss")
            if losses:
                where, validation = places(rows, steps, x), f"{label}: validation"
                axes.plot(
                    where,
                    losses,
                    "--",
                    color=color,
                    linewidth=2.6,
                    label=validation,
                    **marked(losses),
                )
        axes.set(title=title, ylabel="loss (nats per token)")
        axis_of_steps(axes, x)
        figure.legend(loc="outside lower center", ncols=2)
    return figure


def learning_rate(rates: list[float] | list[Row], title: str = "Learning rate") -> Figure:
    """The learning rate of every step.

    Args:
        rates: one rate for each step, or a run's metrics.
        title: of the figure.

    Raises:
        ConfigError: no row holds a learning rate.
    """
    values = [rate for rate in rates if not isinstance(rate, dict)]
    steps = list(range(len(values)))
    if not values:
        rows = [row for row in rates if isinstance(row, dict)]
        steps, values = points(rows, "learning_rate")
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots()
        axes.plot(steps, values, color=PALETTE["blue"], **marked(values))
        axes.set(title=title, ylabel="learning rate", ylim=(0, None))
        axis_of_steps(axes)
    return figure
