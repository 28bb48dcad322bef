"""``python -m gptlib generate``."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gptlib.cli.inputs import standard_input
from gptlib.cli.options import Source
from gptlib.config import MAX_SEED
from gptlib.errors import ConfigError, PromptError

if TYPE_CHECKING:  # torch takes seconds, and the help shall not wait for it
    from gptlib.commands.writing import Writer


def generate(
    model: Source,
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
    repetition_penalty: Annotated[
        float, typer.Option(help="Above 1, tokens that the text holds become less likely.")
    ] = 1.0,
    dtype: Annotated[
        str,
        typer.Option(help="float32; int8: a few times faster on a CPU; bfloat16: on a GPU."),
    ] = "float32",
    compiled: Annotated[
        bool,
        typer.Option("--compile", help="For GPUs: compile the MLPs. A CPU is faster without."),
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, max=MAX_SEED, help="The same seed and number of sequences write the same texts."
        ),
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Show the text while it is written.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Texts, tokens and their log-probabilities as JSON.")
    ] = False,
) -> None:
    """Continue a text: with a model that was trained here, or with OpenAI's weights."""
    if stream and (as_json or num_return_sequences > 1):
        raise ConfigError("--stream shows one text: leave out --json and --num-return-sequences")
    prompt = read_prompt(prompt)
    from gptlib.commands.writing import Writer

    settings = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    settings |= {"max_new_tokens": max_new_tokens, "repetition_penalty": repetition_penalty}
    writer = Writer(model, prompt, dtype, compiled)
    if stream:
        show_stream(writer, settings)
    else:
        new_ids = writer.continuations(num_return_sequences, **settings)  # type: ignore[arg-type]
        texts = [writer.text(ids) for ids in new_ids]
        print(report(writer, texts, new_ids) if as_json else "\n---\n".join(texts))
    print(writer.speed, file=sys.stderr)


def read_prompt(prompt: str | None) -> str:
    """The prompt that was given, or what standard input holds."""
    if prompt is None:
        if sys.stdin.isatty():
            raise PromptError("no prompt: give --prompt TEXT, or pipe a text in")
        prompt = standard_input().removesuffix("\n")
    if not prompt:
        raise PromptError("the prompt is empty: give at least one character")
    return prompt


def show_stream(writer: "Writer", settings: dict[str, Any]) -> None:
    """Print a text while it grows; the prompt comes with its first piece, after all checks."""
    shown = ""
    for piece in writer.pieces(**settings):
        print(piece if shown else writer.prompt + piece, end="", flush=True)
        shown = piece
    print("" if shown else writer.prompt)


def report(writer: "Writer", texts: list[str], new_ids: list[list[int]]) -> str:
    """Everything as JSON, Arabic and emoji readable."""
    sequences = [
        {"text": text, "tokens": ids, "log_probabilities": writer.scores(ids)}
        for text, ids in zip(texts, new_ids, strict=True)
    ]
    told: dict[str, Any] = {"prompt": writer.prompt, "sequences": sequences}
    told["tokens_per_second"] = writer.speed.tokens / max(writer.speed.seconds, 1e-9)
    return json.dumps(told, ensure_ascii=False, indent=1)
