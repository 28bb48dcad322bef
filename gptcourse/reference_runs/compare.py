"""What ``compare`` does: a run over the band of a recording, one panel a curve, and its verdict."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gptcourse.reference_runs.band import deviation, verdict, widened
from gptcourse.reference_runs.recording import CURVES, Curve, Recording, load_recording
from gptlib import plots
from gptlib.commands.runs import FIGURES
from gptlib.plots import PALETTE, STYLE, axis_of_steps, log_axis, marked
from gptlib.training.metrics import Row, curve, read_metrics

LABELS = {
    "loss": "training loss\n(nats per token)",
    "validation_loss": "validation loss\n(nats per token)",
    "gradient_norm": "gradient norm\n(log)",
}


def over_band(rows: list[Row], recording: Recording, title: str | None = None) -> Figure:
    """A run over the band in which a fresh run with the recorded settings is expected.

    Dark gray is the range of the recorded seeds, light gray the widened band by which
    :func:`gptcourse.reference_runs.verdict` judges; a ring marks each point outside it.

    Args:
        rows: the run's metrics.
        recording: the reference.
        title: of the figure; left out, it names the recorded text.

    Raises:
        ConfigError: no row holds a training loss.
    """
    shown = [name for name in CURVES if name == "loss" or curve(rows, name)[0]]
    name = (recording.corpus or {}).get("name", "another text")
    title = title or f"This run over {len(recording.seeds)} recorded ones on {name}"
    with plt.rc_context(STYLE):
        size = (7.0, 1.2 + 2.1 * len(shown))
        figure, grid = plt.subplots(len(shown), sharex=True, squeeze=False, figsize=size)
        panels: list[Axes] = list(grid[:, 0])
        for axes, name in zip(panels, shown, strict=True):
            draw_band(axes, name, getattr(recording, name))
            draw_run(axes, rows, recording, name)
            axes.set_ylabel(LABELS[name])
            if name == "gradient_norm":
                log_axis(axes)
        panels[0].set_title(title)
        axis_of_steps(panels[-1])
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def draw_band(axes: Axes, name: str, recorded: Curve) -> None:
    """The range of the recorded seeds within the band."""
    low, high = widened(name, recorded)
    gray = PALETTE["gray"]
    lay: Any = {"color": gray, "linewidth": 0}
    axes.fill_between(recorded.steps, low, high, alpha=0.2, label="where a run is expected", **lay)
    axes.fill_between(
        recorded.steps, recorded.low, recorded.high, alpha=0.5, label="recorded seeds", **lay
    )


def draw_run(axes: Axes, rows: list[Row], recording: Recording, name: str) -> None:
    """The run's points, averaged as the recorded ones are, and rings where they lie outside."""
    found = deviation(rows, recording, name)
    color = PALETTE["blue"]
    axes.plot(found.steps, found.values, color=color, label="this run", **marked(found.values))
    outside = [
        (step, value)
        for step, value, far in zip(found.steps, found.values, found.beyond, strict=True)
        if far
    ]
    axes.plot(
        [step for step, _ in outside],
        [value for _, value in outside],
        "o",
        color=PALETTE["vermillion"],
        fillstyle="none",
        markersize=7,
        label="outside",
    )


def compare_with(run: Path, name: str, out: Path | None) -> tuple[str, Path]:
    """Hold a run against a recording.

    Args:
        run: its folder.
        name: a recording in ``assets/recordings/``, or a file.
        out: the figure's file. Left out: ``figures/over-NAME.png`` in the run.

    Returns:
        The sentence, and the figure's file.

    Raises:
        CheckpointError: the folder holds no metrics.
        GPTLibError: there is no such recording.
    """
    plt.switch_backend("agg")
    rows, recording = read_metrics(run), load_recording(name)
    told = verdict(rows, recording)
    figure = over_band(rows, recording)
    return told, plots.save(figure, out or run / FIGURES / f"over-{Path(name).stem}.png")
