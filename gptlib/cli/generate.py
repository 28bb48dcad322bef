"""``python -m gptlib generate``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from gptlib.config import MAX_SEED
from gptlib.errors import ConfigError, PromptError


def generate(
    model: Annotated[
        Path, typer.Option(metavar="RUN", help="The folder of a run, or of one checkpoint.")
    ],
    prompt: Annotated[
        str | None,
        typer.Option(help="The text to continue. Left out: it is read from standard input."),
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Tokens to write at most.")] = 30,
    num_return_sequences: Annotated[
        int, typer.Option(min=1, help="Continuations, drawn side by side.")
    ] = 1,
    temperature: Annotated[
        float, typer.Option(min=0.0, help="0 takes the likeliest token; 1 draws as learned.")
    ] = 1.0,
    top_k: Annotated[
        int | None, typer.Option(min=1, help="Draw among the k likeliest tokens only.")
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(help="Draw among the fewest tokens that hold this probability, 0 to 1."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=MAX_SEED, help="The same seed writes the same text.")
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Show the text while it is written.")
    ] = False,
) -> None:
    """Continue a text with a model that was trained here."""
    if stream and num_return_sequences > 1:
        raise ConfigError(f"--stream shows one text, not {num_return_sequences}: leave one out")
    if prompt is None:
        if sys.stdin.isatty():
            raise PromptError("no prompt: give --prompt TEXT, or pipe a text in")
        prompt = sys.stdin.read().removesuffix("\n")
    if not prompt:
        raise PromptError("the prompt is empty: give at least one character")
    from gptlib.commands.writing import write_pieces, write_text

    settings = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    if stream:
        for piece in write_pieces(model, prompt, max_new_tokens=max_new_tokens, **settings):
            print(prompt + piece, end="", flush=True)
            prompt = ""
        print(prompt)
        return
    texts = write_text(
        model, prompt, num_return_sequences, max_new_tokens=max_new_tokens, **settings
    )
    print("\n---\n".join(texts))
