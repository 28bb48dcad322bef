"""``python -m gptlib plot``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """Kinds of files that a figure can become."""

    png = "png"
    pdf = "pdf"
    svg = "svg"


def plot(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="The folders of runs.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="For the figures. Left out: figures/ in each run."),
    ] = None,
    format: Annotated[Format, typer.Option(help="Of the files.")] = Format.png,
) -> None:
    """Draw a run's curves: loss, rate, norms, speed, memory. Several runs: over each other too."""
    from gptlib.commands.looking import draw_runs

    for path in draw_runs(runs, out, format.value):
        print(path)
