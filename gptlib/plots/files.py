"""Figures as files."""

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from gptlib.errors import ConfigError
from gptlib.plots.losses import learning_rate, loss_curves
from gptlib.plots.norms import gradient_norms, layer_heat_map
from gptlib.plots.palette import STYLE
from gptlib.plots.speed import throughput
from gptlib.training.metrics import Row, curve

FORMATS = ("png", "pdf", "svg")

# For each figure of a run the keys that its rows must hold, and how it is drawn.
FIGURES: dict[str, tuple[tuple[str, ...], Callable[[list[Row]], Figure]]] = {
    "loss": (("loss",), loss_curves),
    "loss-over-tokens": (("loss", "tokens"), lambda rows: loss_curves(rows, x="tokens")),
    "learning-rate": (("learning_rate",), learning_rate),
    "gradient-norms": (("gradient_norm", "clipped_norm"), gradient_norms),
    "layer-norms": (("layer_norms",), layer_heat_map),
    "throughput": (("tokens_per_second", "utilisation"), throughput),
}


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as .png, .pdf or .svg, and close it.

    Raises:
        ConfigError: another kind of file was asked for.
    """
    path = Path(path)
    if path.suffix.removeprefix(".") not in FORMATS:
        raise ConfigError(f"{path} would be a {path.suffix!r} file: use .png, .pdf or .svg")
    path.parent.mkdir(parents=True, exist_ok=True)
    with plt.rc_context(STYLE):
        figure.savefig(path)
    plt.close(figure)
    return path


def save_all(rows: list[Row], folder: str | Path, kind: str = "png") -> list[Path]:
    """Write every figure that a run's metrics allow.

    Args:
        rows: the run's metrics.
        folder: gets the files; what stands there under their names is replaced.
        kind: one of `FORMATS`.

    Returns:
        The files.

    Raises:
        ConfigError: another kind was asked for, or the metrics allow no figure at all.
    """
    allowed = [
        (name, draw)
        for name, (needed, draw) in FIGURES.items()
        if all(curve(rows, key)[0] for key in needed)
    ]
    if not allowed:
        raise ConfigError("this run has not made a step: there is nothing to draw yet")
    return [save(draw(rows), Path(folder) / f"{name}.{kind}") for name, draw in allowed]
