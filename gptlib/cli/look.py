"""``python -m gptlib plot|compare|record``."""

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
    """Draw a run's curves: loss, rate, norms, speed. Two or more runs: over each other as well."""
    from gptlib.commands.looking import draw_runs

    for path in draw_runs(runs, out, format.value):
        print(path)


def compare(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="A recording, by name or file.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The figure. Left out: figures/over-NAME.png in RUN."),
    ] = None,
) -> None:
    """Say whether a run's curves are normal, and draw them over a recording's band."""
    from gptlib.commands.looking import compare_with

    told, path = compare_with(run, name, out)
    print(told)
    print(path)


def record(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="The folder of a run, or a recording's name.")
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the recording to write.")],
    corpus: Annotated[
        str | None, typer.Option(help="Another text. Left out: the source's own.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="gpt2, characters or a folder. Left out: the source's own.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite a recording of that name.")
    ] = False,
) -> None:
    """Repeat a run with three seeds and keep its curves as a recording in assets/recordings."""
    from gptlib.commands.recording import record_run

    print(record_run(source, name, corpus, tokenizer, replace))
