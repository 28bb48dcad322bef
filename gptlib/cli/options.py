"""Options that more than one command takes: the shape of a model."""

from typing import Annotated

import typer

SHAPE = ("context_length", "n_layers", "n_heads", "width", "dropout")

Model = Annotated[str, typer.Option(help="A model's name or size, such as laptop, gpt2 or 124M.")]
ContextLength = Annotated[
    int | None, typer.Option(help="Tokens in one window. This and the next: the model's own.")
]
Layers = Annotated[int | None, typer.Option(help="Blocks, one on top of the other.")]
Heads = Annotated[int | None, typer.Option(help="Attention heads in each block.")]
Width = Annotated[int | None, typer.Option(help="Numbers that stand for a position.")]
Dropout = Annotated[float | None, typer.Option(help="Share of activations zeroed.")]

Source = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="gpt2|RUN|FOLDER",
        help="OpenAI's weights by name (gpt2 to gpt2-xl); a run, or one of its checkpoints; or a "
        "folder with config.json, model.safetensors and a tokenizer.",
    ),
]
