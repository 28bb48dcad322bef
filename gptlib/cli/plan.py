"""``python -m gptlib plan``."""

from typing import Annotated

import typer

from gptlib.cli.options import SHAPE, ContextLength, Dropout, Heads, Layers, Model, Width


def plan(
    corpus: Annotated[
        str, typer.Argument(help="What to train on: only written into the command, not read.")
    ] = "TEXT",
    model: Model = "gpt2",
    context_length: ContextLength = None,
    n_layers: Layers = None,
    n_heads: Heads = None,
    width: Width = None,
    dropout: Dropout = None,
    vocab_size: Annotated[
        int | None, typer.Option(help="Tokens that the tokenizer knows. Left out: the model's.")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="A GPU by name, such as T4, L4 or A100. Left out: this machine."),
    ] = None,
    processes: Annotated[int, typer.Option(help="GPUs that train together, one process each.")] = 1,
    utilization: Annotated[
        float | None,
        typer.Option(help="Share of the peak that training uses. Left out: 0.3; on a CPU 0.7."),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Length of the run in steps.")] = None,
    tokens: Annotated[
        float | None, typer.Option(help="Or in tokens. Left out: 20 for each parameter.")
    ] = None,
    tokens_per_step: Annotated[
        int | None, typer.Option(help="Left out: GPT-3's 524,288, fewer for a small model.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Windows in a micro-batch. Left out: as many as fit.")
    ] = None,
) -> None:
    """Tell what a training run needs before it begins: memory, tokens a second, hours.

    All by formula, so it answers at once, for GPUs that are not here as well.
    """
    given = {name: value for name, value in locals().items() if value is not None}
    from gptlib.commands.planning import plan_run

    length = {"steps": steps, "tokens": tokens}
    length |= {"tokens_per_step": tokens_per_step, "batch_size": batch_size}
    shape = {name: given[name] for name in (*SHAPE, "vocab_size") if name in given}
    plan_run(corpus, model, shape, device, processes, utilization, **length)
