"""``prepare`` and ``inspect``: from a corpus to a prepared folder, and what one holds."""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gptlib.commands.inputs import find_text, quoted
from gptlib.config import require
from gptlib.data.cleaning import Cleaner, darija_cleaner, printable, text_cleaner
from gptlib.data.prepare import (
    SHARDS,
    TOKENIZER,
    check_choices,
    is_prepared,
    open_prepared,
    read_report,
)
from gptlib.data.prepare import prepare as prepare_documents
from gptlib.data.shards import INDEX, ShardIndex, open_shards, read_index, verify_shards
from gptlib.data.split import FEWEST_DOCUMENTS, SPLITS
from gptlib.errors import ConfigError, ShardError
from gptlib.files import check_absent
from gptlib.tokenizer import Tokenizer, load_tokenizer

CLEANERS: dict[str, Callable[..., Cleaner]] = {"text": text_cleaner, "darija": darija_cleaner}
DARIJA_ONLY = ("arabizi", "least_arabic", "least_darija")
PIECE = 16  # tokens: one line


def prepare(
    text: str,
    out: Path,
    clean: str,
    cleaning: dict[str, Any],
    tokenizer: str | None,
    vocab_size: int | None,
    splitting: dict[str, Any],
    separator: str | None,
    documents: int | None,
    language: str | None,
) -> None:
    """Prepare a corpus and tell what became of it.

    For `text`, `separator` and `language` see :func:`find_text`; `cleaning` holds arguments of a
    cleaner, `splitting` the other ones of :func:`gptlib.data.prepare.prepare`.
    """
    started = time.monotonic()
    check_absent(out)
    require(
        not is_prepared(Path(text)),  # its merges.txt would pass for a text
        f"{text} is a prepared folder: give the corpus that it was made of, or train on it",
    )
    for name in cleaning:
        if clean == "none" or (name in DARIJA_ONLY and clean != "darija"):
            option = name.replace("_", "-")
            option = f"no-{option}" if cleaning[name] is False else option
            others = "darija" if name in DARIJA_ONLY else "text or --clean darija"
            raise ConfigError(
                f"--{option} does nothing with --clean {clean}: give --clean {others}, or leave it "
                f"out"
            )
    cleaner = CLEANERS[clean](**cleaning) if clean in CLEANERS else None
    require(
        tokenizer is None or vocab_size is None,
        f"--tokenizer {tokenizer} and --vocab-size {vocab_size} say two things: give one of them",
    )
    chosen = vocab_size if vocab_size is not None else load_tokenizer(tokenizer or "gpt2")
    check_choices(chosen, splitting["n_shards"], splitting["drop_shared"])
    spec = find_text(text, separator, language)
    splitting["source"] = f"{spec.name}: {spec.source} ({spec.license})"
    index, report = prepare_documents(spec.stream(documents), out, chosen, cleaner, **splitting)
    if cleaner:
        print(cleaner.report.table(), end="\n\n")
    print("\n".join(lines_about(index, report)))
    print(f"took     {time.monotonic() - started:,.0f} s")
    print(f"look     python -m gptlib inspect {quoted(out)}")
    print(f"train    python -m gptlib train --data {quoted(out)}")


def inspect(folder: Path, pieces: int = 3, seed: int = 0, verify: bool = False) -> None:
    """Print what ``prepare`` or ``write_shards`` has written into a folder.

    `pieces` places of the training split, drawn by `seed`, are decoded; with `verify` every file
    is hashed, otherwise only names and sizes are looked at. Raises ShardError.
    """
    whole = (folder / SHARDS).is_dir()
    shards = folder / SHARDS if whole else folder
    if not whole and not (folder / INDEX).is_file():
        raise ShardError(
            f"{folder} holds neither {SHARDS}/ nor {INDEX}: give a folder that "
            f"python -m gptlib prepare has written"
        )
    index = read_index(shards)
    report = read_report(folder) if whole else None
    if verify:
        index = open_prepared(folder).index if whole else verify_shards(shards)
    print("\n".join(lines_about(index, report)))
    tokenizer = tokenizer_of(folder / TOKENIZER if whole else None, index)
    if pieces and tokenizer is None:
        name = index.tokenizer["name"]
        print(f"pieces   cannot be read: the tokenizer that made the ids, {name}, is not here")
    elif pieces and tokenizer:
        tokens, luck = open_shards(shards, SPLITS[0], index), random.Random(seed)
        length = min(PIECE, len(tokens))
        for _ in range(pieces):
            place = luck.randint(0, len(tokens) - length)
            text = tokenizer.decode(tokens[place : place + length].tolist())
            print(f"piece    at {place:,}: {printable(text)}")
    if verify:
        print(f"verified every byte of {len(index.shards):,} shards is as it was written")


def tokenizer_of(folder: Path | None, index: ShardIndex) -> Tokenizer | None:
    """The tokenizer that made a folder's ids, where it is to be had."""
    if folder is None and index.tokenizer["name"] != "gpt2":
        return None
    tokenizer = load_tokenizer(folder or "gpt2")
    return tokenizer if tokenizer.fingerprint == index.tokenizer["fingerprint"] else None


def lines_about(index: ShardIndex, report: dict[str, Any] | None) -> Iterator[str]:
    """What an index and a report say, for people."""
    yield f"source   {index.source['name'] or 'not named'}"
    end = "none" if index.end_of_text is None else f"{index.end_of_text:,}"
    kind = f"end of text {end}, {8 * int(index.dtype[-1])} bits an id"
    yield f"tokens   {index.tokenizer['name']}: a vocabulary of {index.vocab_size:,}, {kind}"
    yield f"{'split':<10}  {'documents':>10}  {'tokens':>14}  bytes per token  shards"
    for split, counts in index.splits.items():
        shards = index.of(split)
        tokens = sum(shard.tokens for shard in shards)
        yield (
            f"{split:<10}  {counts['documents']:>10,}  {tokens:>14,}  "
            f"{counts['text_bytes'] / tokens:>15.2f}  {len(shards):>6,}"
        )
    if all(counts["documents"] == 1 for counts in index.splits.values()):
        yield (
            f"cut      fewer than {FEWEST_DOCUMENTS} documents came: they were joined and cut "
            f"(a .txt file is one, --separator parts it)"
        )
    if report is None:
        return
    if (cleaning := report["cleaning"]) is None:
        yield "cleaned  not at all"
    else:
        reasons = sorted(cleaning["steps"], key=lambda step: -step["dropped"])
        told = [f"{step['name']} {step['dropped']:,}" for step in reasons if step["dropped"]]
        out, came = cleaning["documents_out"], cleaning["documents_in"]
        left = f"{out:,} of {came:,} documents are left"
        yield f"cleaned  {left}; dropped: {', '.join(told) or 'none'}"
    if report["shared_spans"] is None:
        yield "shared   not looked for: the tokenizer has no end of text to tell documents apart"
        return
    for split, found in report["shared_spans"].items():
        share = found["documents"] / found["of"]
        dropped = ": dropped" if found["dropped"] and found["documents"] else ""
        yield (
            f"shared   {found['documents']:,} of {found['of']:,} {split} documents ({share:.1%}) "
            f"share {found['tokens']} tokens in a row with training, in {found['places']:,} "
            f"places{dropped}"
        )
