"""What ``compare`` does: a run held against a recording, as a sentence and a figure."""

from pathlib import Path

import matplotlib.pyplot as plt

from gptcourse.reference_runs import load_recording, verdict
from gptcourse.reference_runs.over_band import over_band
from gptlib import plots
from gptlib.commands.looking import FOLDER
from gptlib.training.metrics import read_metrics


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
    return told, plots.save(figure, out or run / FOLDER / f"over-{Path(name).stem}.png")
