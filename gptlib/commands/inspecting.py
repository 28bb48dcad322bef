"""What ``inspect`` does: from a prepared folder, or its shards alone, to lines that tell of it."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gptlib.data.cleaning import printable
from gptlib.data.prepare import SHARDS, TOKENIZER, open_prepared, read_report
from gptlib.data.shards import INDEX, ShardIndex, open_shards, read_index, verify_shards
from gptlib.data.split import FEWEST_DOCUMENTS, SPLITS
from gptlib.errors import ShardError
from gptlib.tokenizer import Tokenizer, load_tokenizer

PIECE = 16  # tokens: one line


def inspect_folder(folder: Path, pieces: int, seed: int, verify: bool) -> None:
    """Print what a folder holds.

    Args:
        folder: what ``prepare`` has written, or its shards.
        pieces: how many places of the training split to decode.
        seed: of the places.
        verify: hash every file; otherwise only names and sizes are looked at.

    Raises:
        ShardError: it is no such folder, or not as it was written.
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
    if pieces:
        tell_pieces(shards, index, tokenizer_of(folder, index, whole), pieces, seed)
    if verify:
        print(f"verified every byte of {len(index.shards):,} shards is as it was written")


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
    if report:
        yield cleaned(report["cleaning"])
        yield from shared(report["shared_spans"])


def cleaned(cleaning: dict[str, Any] | None) -> str:
    """The report on cleaning in a line."""
    if cleaning is None:
        return "cleaned  not at all"
    reasons = sorted(cleaning["steps"], key=lambda step: -step["dropped"])
    told = ", ".join(f"{step['name']} {step['dropped']:,}" for step in reasons if step["dropped"])
    out, came = cleaning["documents_out"], cleaning["documents_in"]
    return f"cleaned  {out:,} of {came:,} documents are left; dropped: {told or 'none'}"


def shared(splits: dict[str, dict[str, Any]] | None) -> Iterator[str]:
    """The report on spans in common, a line for each held-out split."""
    if splits is None:
        yield "shared   not looked for: the tokenizer has no end of text to tell documents apart"
        return
    for split, found in splits.items():
        share = found["documents"] / found["of"]
        dropped = ": dropped" if found["dropped"] and found["documents"] else ""
        yield (
            f"shared   {found['documents']:,} of {found['of']:,} {split} documents ({share:.1%}) "
            f"share {found['tokens']} tokens in a row with training, in {found['places']:,} "
            f"places{dropped}"
        )


def tokenizer_of(folder: Path, index: ShardIndex, whole: bool) -> Tokenizer | None:
    """The tokenizer that made a folder's ids, where it is to be had."""
    if whole:
        tokenizer = load_tokenizer(folder / TOKENIZER)
    elif index.tokenizer["name"] == "gpt2":
        tokenizer = load_tokenizer("gpt2")
    else:
        return None
    return tokenizer if tokenizer.fingerprint == index.tokenizer["fingerprint"] else None


def tell_pieces(
    shards: Path, index: ShardIndex, tokenizer: Tokenizer | None, pieces: int, seed: int
) -> None:
    """Print a few decoded places of the training split."""
    if tokenizer is None:
        name = index.tokenizer["name"]
        print(f"pieces   cannot be read: the tokenizer that made the ids, {name}, is not here")
        return
    tokens, luck = open_shards(shards, SPLITS[0], index), random.Random(seed)
    length = min(PIECE, len(tokens))
    for _ in range(pieces):
        place = luck.randint(0, len(tokens) - length)
        text = tokenizer.decode(tokens[place : place + length].tolist())
        print(f"piece    at {place:,}: {printable(text)}")
