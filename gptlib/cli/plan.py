"""``python -m gptlib plan``."""

from pathlib import Path
from typing import Annotated

import typer

from gptlib.cli.options import SHAPE, ContextLength, Dropout, Heads, Layers, Model, Width
from gptlib.errors import ConfigError


def plan(
    corpus: Annotated[
        str, typer.Argument(help="What to train on: only written into the command, not read.")
    ] = "TEXT",
    data: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="What prepare has written, in the text's place."),
    ] = None,
    model: Model = "gpt2",
    context_length: ContextLength = None,
    n_layers: Layers = None,
    n_heads: Heads = None,
    width: Width = None,
    dropout: Dropout = None,
    vocab_size: Annotated[
        int | None, typer.Option(help="Tokens that the tokenizer knows. Left out: GPT-2's.")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="A GPU by name, such as T4, L4 or A100. Left out: this machine."),
    ] = None,
    processes: Annotated[int, typer.Option(help="GPUs that train together, one process each.")] = 1,
    steps: Annotated[int | None, typer.Option(help="Length of the run in steps.")] = None,
    tokens: Annotated[
        float | None, typer.Option(help="Or in tokens. Left out: 20 for each parameter.")
    ] = None,
    tokens_per_step: Annotated[
        int | None, typer.Option(help="Left out: GPT-3's 524,288, fewer for a small model.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Windows in a micro-batch. Left out: what fits and pays.")
    ] = None,
    max_minutes: Annotated[
        float | None, typer.Option(help="The session's length, which the run must not exceed.")
    ] = None,
    memory_gb: Annotated[
        float | None, typer.Option(help="GiB for one process. Left out: what the device has.")
    ] = None,
) -> None:
    """Tell what a training run needs before it begins: memory, arithmetic, hours.

    On this machine a few steps are measured first, for ten seconds to some minutes.
    """
    given = {name: value for name, value in locals().items() if value is not None}
    if data is not None and (corpus != "TEXT" or vocab_size is not None):
        raise ConfigError(
            "--data FOLDER stands in the place of a text and has its own vocabulary: "
            "leave the text and --vocab-size out"
        )
    from gptlib.commands.planning import plan_run
    from gptlib.planning.wish import Wish

    wish = Wish(
        steps=steps,
        tokens=tokens,
        tokens_per_step=tokens_per_step,
        batch_size=batch_size,
        processes=processes,
        max_minutes=max_minutes,
        memory_gb=memory_gb,
    )
    shape = {name: given[name] for name in (*SHAPE, "vocab_size") if name in given}
    plan_run(corpus, model, shape, device, wish, data)
