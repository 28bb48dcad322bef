"""``python -m gptlib prepare|inspect``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gptlib.config import MAX_SEED


class Clean(StrEnum):
    """Cleaners by name."""

    none = "none"
    text = "text"
    darija = "darija"


def prepare(
    corpus: Annotated[
        str,
        typer.Argument(
            help="A text by name (such as wikipedia, darija, sample-articles), or the path of a "
            ".txt, .jsonl or .parquet file or of a folder of these, or a data set of the Hugging "
            "Face hub: hub:owner/name?config=…&split=…&column=…"
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="A new folder.")],
    language: Annotated[
        str | None, typer.Option(help="Of Wikipedia, such as ar. Left out: en.")
    ] = None,
    documents: Annotated[
        int | None, typer.Option(help="Read so many, from the first. Left out: all.")
    ] = None,
    separator: Annotated[
        str | None,
        typer.Option(
            help='What parts the documents of a .txt file, \\n for a line end: "\\n\\n" is a blank '
            "line. Left out: a file is one document, held in memory whole."
        ),
    ] = None,
    clean: Annotated[
        Clean, typer.Option(help="Cleaning for text in any language, for Darija, or none.")
    ] = Clean.none,
    arabizi: Annotated[
        bool, typer.Option("--arabizi/--no-arabizi", help="darija: keep rows in Latin letters.")
    ] = True,
    least_arabic: Annotated[
        float | None, typer.Option(help="darija: share of Arabic letters a row needs, 0 to 1.")
    ] = None,
    shortest: Annotated[
        int | None, typer.Option(help="Cleaning drops rows of fewer characters. Left out: 5.")
    ] = None,
    longest: Annotated[
        int | None,
        typer.Option(help="And of more. Left out: 100,000 for darija, no limit for text."),
    ] = None,
    near_duplicates: Annotated[
        float | None,
        typer.Option(help="And rows that share so much with an earlier one, such as 0.8."),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            help="gpt2, or a folder that holds a saved tokenizer, such as FOLDER/tokenizer of what "
            "was prepared before. Left out: gpt2."
        ),
    ] = None,
    vocab_size: Annotated[
        int | None, typer.Option(help="Or: train one of so many tokens on the training split.")
    ] = None,
    shards: Annotated[int, typer.Option(help="Files of training tokens.")] = 20,
    validation: Annotated[float, typer.Option(help="Share of the documents held out.")] = 0.1,
    test: Annotated[float, typer.Option(help="And for a test at the end.")] = 0.0,
    drop_shared: Annotated[
        bool,
        typer.Option(
            "--drop-shared",
            help="Leave out held-out documents that share 20 tokens in a row with training.",
        ),
    ] = False,
) -> None:
    """Clean, split, tokenise and shard a corpus into a folder that train --data reads.

    A folder is written whole or not at all; what a killed command leaves is thrown away by the
    next one.
    """
    from gptlib.commands.preparing import Cleaning, prepare_corpus

    bounds = {"shortest": shortest, "longest": longest, "near_duplicates": near_duplicates}
    given = {name: value for name, value in bounds.items() if value is not None}
    given |= {} if least_arabic is None else {"least_arabic": least_arabic}
    given |= {} if arabizi else {"arabizi": False}
    prepare_corpus(
        corpus,
        out,
        choice={"separator": separator, "documents": documents, "language": language},
        cleaning=Cleaning(clean.value, given),
        tokenizer=tokenizer,
        vocab_size=vocab_size,
        splitting={
            "n_shards": shards,
            "validation": validation,
            "test": test,
            "drop_shared": drop_shared,
        },
    )


def inspect(
    folder: Annotated[Path, typer.Argument(help="What prepare has written, or its shards.")],
    pieces: Annotated[int, typer.Option(min=0, help="Decoded pieces of the training split.")] = 3,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Of the pieces' places.")] = 0,
    verify: Annotated[
        bool, typer.Option("--verify", help="Hash every file: does it hold what was written?")
    ] = False,
) -> None:
    """Tell what a prepared folder holds: documents, tokens, bytes per token, a few pieces."""
    from gptlib.commands.inspecting import inspect_folder

    inspect_folder(folder, pieces, seed, verify)
