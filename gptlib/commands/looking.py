"""What ``plot`` does: from the folders of runs to figures."""

from pathlib import Path

import matplotlib.pyplot as plt

from gptlib import plots
from gptlib.errors import ConfigError
from gptlib.training.metrics import read_metrics

FOLDER = "figures"  # in the run's own folder


def draw_runs(runs: list[Path], out: Path | None, kind: str) -> list[Path]:
    """Draw every figure that the metrics of some runs allow; two or more are overlaid as well.

    Args:
        runs: their folders.
        out: gets the figures, those of several runs in a folder each. Left out: ``figures`` in
            each run; the overlay goes to the first one's.
        kind: png, pdf or svg.

    Returns:
        The files.

    Raises:
        CheckpointError: a folder holds no metrics.
        ConfigError: metrics without a step, or the same run twice.
    """
    plt.switch_backend("agg")  # files only: a machine without a screen draws as well
    named = dict(zip(labels(runs), map(read_metrics, runs), strict=True))
    files = []
    for run, (label, rows) in zip(runs, named.items(), strict=True):
        own = out / label if out and len(runs) > 1 else out
        files += plots.save_all(rows, own or run / FOLDER, kind)
    if len(runs) > 1:
        place = (out or runs[0] / FOLDER) / f"comparison.{kind}"
        files.append(plots.save(plots.compare(named), place))
    return files


def labels(runs: list[Path]) -> list[str]:
    """The names of the runs' folders, with the folder above where two are alike."""
    for parts in (1, 2):
        names = ["-".join(run.resolve().parts[-parts:]) for run in runs]
        if len(set(names)) == len(names):
            return names
    raise ConfigError(f"{', '.join(names)}: two runs have one name: give each run once")
