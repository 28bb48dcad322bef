"""How fast documents become token shards, beside tiktoken alone, and how much memory that takes.

    python tests/benchmarks/sharding_speed.py TEXT --megabytes 30 --rounds 5
    python tests/benchmarks/sharding_speed.py TEXT --megabytes 1000 --memory

The text's own documents (split at blank lines, joined to articles of some 3 kB) are repeated,
each time with another number in front, until there are so many megabytes. In every round ours
and ``encode_ordinary_batch`` take turns on them, all with a thread for each core, so that a
busy machine disturbs the ratio little. ``prepare`` splits, fingerprints, tokenizes, hashes and
writes through to the disk, and looks for n-grams that two splits share, of which this text is
full; tiktoken's ids are thrown away. Memory is the kernel's record of the highest resident
set, Python and PyTorch included, while ``prepare`` reads documents as they are generated. Not for
Windows.
"""

import argparse
import itertools
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from gptlib.data.prepare import prepare
from gptlib.tokenizer import load_tokenizer

MEGABYTE = 1_000_000
ARTICLE = 3_000  # characters


def articles(path: Path, size: int) -> Iterator[str]:
    """Documents of `size` bytes together, no two of them equal."""
    paragraphs = path.read_text(encoding="utf-8").split("\n\n")
    for number in itertools.count():
        article = [f"{number}"]
        for paragraph in paragraphs:
            article.append(paragraph)
            if sum(map(len, article)) >= ARTICLE:
                document = "\n\n".join(article)
                size -= len(document.encode())
                yield document
                if size <= 0:
                    return
                article = [f"{number}"]


def told(values: list[float]) -> str:
    """A median with its range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def speed(path: Path, size: int, rounds: int) -> None:
    """Ours and tiktoken in turn; one round more that does not count."""
    tokenizer, documents = load_tokenizer("gpt2"), list(articles(path, size))
    total = sum(len(document.encode()) for document in documents) / MEGABYTE
    encoding, threads = tokenizer._encoding, os.cpu_count() or 1  # type: ignore[attr-defined]
    names = ["prepare", "tiktoken"]
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for number in range(rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            turns: dict[str, Callable[[], object]] = {
                "prepare": lambda: prepare(documents, Path(folder) / "prepared", tokenizer),
                "tiktoken": lambda: encoding.encode_ordinary_batch(documents, num_threads=threads),
            }
            for name, turn in turns.items():
                clock, processor = time.perf_counter(), time.process_time()
                turn()
                if number:
                    spent = time.perf_counter() - clock, time.process_time() - processor
                    seconds[name].append(spent)
    print(f"{len(documents):,} documents, {total:.0f} MB, {threads} threads")
    for kind, meaning in enumerate(["by the clock", "of processor time"]):
        rates = {name: [total / spent[kind] for spent in seconds[name]] for name in names}
        for name in names:
            ratios = [a / b for a, b in zip(rates[name], rates["tiktoken"], strict=True)]
            print(f"  {meaning}: {name} {told(rates[name])} MB/s, {told(ratios)} of tiktoken's")


def memory(path: Path, size: int) -> None:
    """One run on documents that are generated as they are needed."""
    tokenizer = load_tokenizer("gpt2")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        index, _ = prepare(articles(path, size), Path(folder) / "prepared", tokenizer)
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    tokens = sum(shard.tokens for shard in index.shards)
    print(f"{tokens:,} tokens of {size / MEGABYTE:,.0f} MB in {seconds:.0f} s")
    print(f"  highest resident memory {peak:,.0f} MiB, {before:,.0f} MiB before")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path)
    parser.add_argument("--megabytes", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", action="store_true", help="measure memory instead of speed")
    options = parser.parse_args()
    n_bytes = int(options.megabytes * MEGABYTE)
    if options.memory:
        memory(options.text, n_bytes)
    else:
        speed(options.text, n_bytes, options.rounds)
