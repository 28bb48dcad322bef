"""``python -m gptlib evaluate``."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

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
    try:
        content = sys.stdin.read() if text == Path("-") else text.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{text} is not UTF-8 text ({error.reason}): convert it") from error
    from gptlib.commands.reading import read_text

    reading = read_text(model, content)
    figures = {"perplexity": reading.perplexity, "bits_per_byte": reading.bits_per_byte}
    if as_json:
        print(json.dumps(figures | {"tokens": reading.tokens, "bytes": reading.bytes}))
        return
    print(f"perplexity     {reading.perplexity:,.2f} per token, over {reading.tokens:,} tokens")
    print(f"bits per byte  {reading.bits_per_byte:.3f}, over {reading.bytes:,} bytes")
