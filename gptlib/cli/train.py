"""``python -m gptlib train``."""

from pathlib import Path
from typing import Annotated

import typer

from gptlib.cli.options import SHAPE, ContextLength, Dropout, Heads, Layers, Width
from gptlib.errors import ConfigError
from gptlib.settings import BUDGETS


def train(
    corpus: Annotated[
        str | None,
        typer.Argument(
            help="A text by name (the-verdict, sample-story, sample-articles, sample-darija, "
            "python-docs), or a .txt, .jsonl or .parquet file, or a folder of these."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Or: what prepare has written, of any size."),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME|FOLDER",
            help="A new model by its name or size, such as laptop, gpt2 or 124M. Or a Hugging "
            "Face folder: its weights, shape and tokenizer are where training begins.",
        ),
    ] = "laptop",
    tokenizer: Annotated[
        str | None,
        typer.Option(
            help="For a text: gpt2, characters, or a folder that holds a saved tokenizer. "
            "Left out: the model's own, else gpt2."
        ),
    ] = None,
    context_length: ContextLength = None,
    n_layers: Layers = None,
    n_heads: Heads = None,
    width: Width = None,
    dropout: Dropout = None,
    settings: Annotated[
        str,
        typer.Option(
            help="How to train, by name: fast, foundation, foundation-better-quality, slow, "
            "darija, algerian. The options from here on replace single values."
        ),
    ] = "fast",
    config: Annotated[
        Path | None,
        typer.Option(help="A TOML file of values that replace the name's: learning_rate = 3e-4"),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Updates of the parameters.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Or: passes over the text.")] = None,
    tokens: Annotated[float | None, typer.Option(help="Or: tokens to train on.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Windows in one micro-batch.")] = None,
    accumulation: Annotated[
        int | None, typer.Option(help="Micro-batches in one step, over all processes.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The peak.")] = None,
    min_learning_rate: Annotated[
        float | None, typer.Option(help="The floor. Left out beside a peak: a tenth of it.")
    ] = None,
    warmup_steps: Annotated[int | None, typer.Option(help="Steps up to the peak.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Pull of matrices to 0.")] = None,
    betas: Annotated[
        tuple[float, float] | None, typer.Option(help="AdamW's two memories, such as 0.9 0.95.")
    ] = None,
    clip_norm: Annotated[float | None, typer.Option(help="Longest gradient let through.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="auto, float32, bfloat16 or float16.")
    ] = None,
    compile: Annotated[
        bool | None, typer.Option(help="Compile the blocks: needs a compiler on a CPU.")
    ] = None,
    evaluate_every: Annotated[int | None, typer.Option(help="Steps between validations.")] = None,
    evaluate_batches: Annotated[
        int | None, typer.Option(help="Batches of one validation; 0 takes the whole split.")
    ] = None,
    sample_every: Annotated[
        int | None, typer.Option(help="Steps between sample texts; 0 writes none.")
    ] = None,
    checkpoint_every: Annotated[
        int | None, typer.Option(help="Steps between checkpoints, beside each best; 0: the last.")
    ] = None,
    autosave_minutes: Annotated[
        float | None, typer.Option(help="Minutes after which a checkpoint is due; 0: none is.")
    ] = None,
    log_layers_every: Annotated[
        int | None, typer.Option(help="Steps between gradient norms of each layer; 0: none.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of parameters, order and dropout.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="The run's folder. Left out: a new one in runs/."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out if there is one.")
    ] = False,
    max_minutes: Annotated[
        float | None, typer.Option(help="End this session, saved, before so many minutes are over.")
    ] = None,
) -> None:
    """Train a model on a text or a prepared folder; its run goes to a folder that generate can use.

    Ctrl-C and SIGTERM end the session at the next step, with a checkpoint. With --out and
    --resume the same command begins a run, and goes on with it as often as it is given.
    """
    given = {name: value for name, value in locals().items() if value is not None}
    if resume and out is None:
        raise ConfigError("--resume needs the folder of the run: give --out RUN")
    from gptlib.commands.training import train_model
    from gptlib.config import TrainingConfig

    known = (*TrainingConfig.__dataclass_fields__, *BUDGETS)
    train_model(
        corpus,
        model,
        tokenizer,
        shape={name: given[name] for name in SHAPE if name in given},
        settings=(settings, config, {name: given[name] for name in known if name in given}),
        out=out,
        resume=resume,
        max_minutes=max_minutes,
        data=data,
    )
