"""``python -m gptlib evaluate``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from gptlib.cli.inputs import standard_input
from gptlib.cli.options import Source
from gptlib.errors import CorpusError


def evaluate(
    model: Source,
    text: Annotated[
        Path, typer.Argument(metavar="TEXT", help="A text file in UTF-8; - is standard input.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="The figures as JSON.")] = False,
) -> None:
    """Say how well a model foretells a text: perplexity, and bits per byte."""
    content = standard_input() if text == Path("-") else read_file(text)
    from gptlib.commands.reading import counted, read_text

    reading = read_text(model, content)
    figures = {"perplexity": reading.perplexity, "bits_per_byte": reading.bits_per_byte}
    if as_json:
        print(json.dumps(figures | {"tokens": reading.n_tokens, "bytes": reading.n_bytes}))
        return
    tokens, n_bytes = counted(reading.n_tokens, "token"), counted(reading.n_bytes, "byte")
    print(f"perplexity     {reading.perplexity:,.2f} per token, over {tokens}")
    print(f"bits per byte  {reading.bits_per_byte:.3f}, over {n_bytes}")


def read_file(path: Path) -> str:
    """A text file, read as training reads it."""
    if not path.exists() or path.is_dir():
        raise CorpusError(f"no text file {path}: give one in UTF-8, or - for standard input")
    from gptlib.data.readers import read_text

    return read_text(path)
