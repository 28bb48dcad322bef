"""The command line: ``python -m gptlib course|train|generate``.

Each command imports what it runs when it runs it: the help answers at once, without torch.
"""

import io
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from gptlib.course.cli import course
from gptlib.errors import ConfigError, GPTLibError, PromptError

MAX_SEED = 2**63 - 1  # what every random stream that is seeded here can take

app = typer.Typer(
    help="Build GPT-2, from bytes to a model that writes.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help starts faster, and reads the same in every terminal
    pretty_exceptions_enable=False,
)
app.add_typer(course, name="course")


@app.command()
def train(
    corpus: Annotated[
        str,
        typer.Argument(
            help="A text by name (the-verdict, sample-story, sample-articles, sample-darija, "
            "python-docs), or a .txt, .jsonl or .parquet file, or a folder of these."
        ),
    ],
    model: Annotated[
        str, typer.Option(help="A model's name or size, such as laptop, gpt2 or 124M.")
    ] = "laptop",
    tokenizer: Annotated[
        str, typer.Option(help="gpt2, characters, or a folder that holds a saved tokenizer.")
    ] = "gpt2",
    context_length: Annotated[
        int | None, typer.Option(min=1, help="Tokens in one window. Left out: the model's own.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Updates of the parameters.")] = 200,
    batch_size: Annotated[int, typer.Option(min=1, help="Windows in one micro-batch.")] = 8,
    accumulation: Annotated[
        int, typer.Option(min=1, help="Micro-batches whose gradients make one step.")
    ] = 1,
    learning_rate: Annotated[
        float, typer.Option(min=0, help="The peak; it falls to a tenth of this in the end.")
    ] = 1e-3,
    warmup_steps: Annotated[int, typer.Option(min=0, help="Steps up to the peak.")] = 10,
    evaluate_every: Annotated[int, typer.Option(min=1, help="Steps between validations.")] = 20,
    sample_every: Annotated[
        int, typer.Option(min=0, help="Steps between sample texts; 0 writes none.")
    ] = 100,
    checkpoint_every: Annotated[
        int, typer.Option(min=0, help="Steps between checkpoints; 0 keeps the last only.")
    ] = 100,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Of parameters and order.")] = 42,
    out: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="The run's folder. Left out: a new one in runs/."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out where it stopped.")
    ] = False,
) -> None:
    """Train a model on a text; its run goes to a folder that generate can use."""
    if resume and out is None:
        raise ConfigError("--resume needs the folder of the run: give --out RUN")
    from gptlib.commands import train_model
    from gptlib.config import TrainingConfig

    settings = TrainingConfig(
        steps=steps,
        batch_size=batch_size,
        accumulation=accumulation,
        learning_rate=learning_rate,
        min_learning_rate=learning_rate / 10,
        warmup_steps=warmup_steps,
        evaluate_every=evaluate_every,
        sample_every=sample_every,
        checkpoint_every=checkpoint_every,
        seed=seed,
    )
    run = train_model(corpus, model, tokenizer, context_length, settings, out, resume)
    print(f'write    python -m gptlib generate --model "{run}" --prompt "Once"')


@app.command()
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
    from gptlib.commands import write_pieces, write_text

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


def main() -> None:
    """Run the command line; what a user can mend is one line on stderr and exit code 2."""
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() != "utf-8":
            stream.reconfigure(encoding="utf-8")  # Windows redirects in an older code page
    try:
        app(prog_name="python -m gptlib")
    except GPTLibError as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(2)
    except OSError as problem:
        if problem.filename is None:
            raise  # nothing that another file or folder would mend
        print(f"error: {problem.filename}: {problem.strerror}: give another one", file=sys.stderr)
        sys.exit(2)
