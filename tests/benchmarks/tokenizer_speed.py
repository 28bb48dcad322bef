"""How fast the tokenizer trains and encodes, beside the Rust libraries, and how much it holds.

    taskset -c 0 python tests/benchmarks/tokenizer_speed.py TRAINING_TEXT ENCODING_TEXT

Each of ours runs in turn with its counterpart, on one core, and seconds are the process's own
processor time, so that a busy machine disturbs little; the ratio is taken round by round. Every
encoding starts from a new tokenizer, so no piece is remembered from before. Linux only: the
memory is the kernel's own record of the highest resident set.
"""

import argparse
import os
import random
import statistics
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["RAYON_NUM_THREADS"] = "1"  # the Rust trainer would use every core
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from gptlib.tokenizer import BPETokenizer, GPT2Tokenizer, load_tokenizer

MEGABYTE = 1_000_000


def interleaved(rounds: int, **functions: Callable[[], object]) -> dict[str, list[float]]:
    """Seconds of each function, round by round in turn, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(rounds + 1):
        for name, function in functions.items():
            start = time.process_time()
            function()
            if number:
                seconds[name].append(time.process_time() - start)
    return seconds


def told(values: list[float], unit: str, digits: int = 2) -> str:
    """A median with its range."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} {unit} ({low:.{digits}f} to {high:.{digits}f})"


def ratios(ours: list[float], theirs: list[float]) -> list[float]:
    """Our time over theirs, round by round."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def train_in_rust(text: str, vocab_size: int) -> tokenizers.Tokenizer:
    """Hugging Face's trainer with GPT-2's pattern and the same number of merges."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


def training(text: str, rounds: int) -> None:
    """10,000 merges."""
    size = 256 + 10_000
    assert len(BPETokenizer.train(text, size).merges) == 10_000
    assert train_in_rust(text, size).get_vocab_size() == size
    seconds = interleaved(
        rounds,
        ours=lambda: BPETokenizer.train(text, size),
        rust=lambda: train_in_rust(text, size),
    )
    print(f"10,000 merges on {len(text.encode()):,} bytes")
    print(f"  ours {told(seconds['ours'], 's')}, Rust tokenizers {told(seconds['rust'], 's')}")
    print(f"  ours / Rust: {told(ratios(seconds['ours'], seconds['rust']), 'times')}")


def distinct_words(size: int) -> str:
    """Random words of 3 to 10 letters: nearly every one is new, and no vocabulary has it."""
    draw = random.Random(0)
    words = []
    while size > 0:
        words.append("".join(draw.choices(string.ascii_lowercase, k=draw.randint(3, 10))))
        size -= len(words[-1]) + 1
    return " ".join(words)


def encoding(name: str, text: str, gpt2: GPT2Tokenizer, rounds: int) -> None:
    """Cold encoding with GPT-2's vocabulary."""
    merges, size = gpt2.merges, len(text.encode())
    fresh = iter([BPETokenizer(gpt2.ranks, merges) for _ in range(rounds + 1)])
    assert BPETokenizer(gpt2.ranks, merges).encode(text) == gpt2.encode(text)
    seconds = interleaved(
        rounds,
        ours=lambda: next(fresh).encode(text),
        tiktoken=lambda: gpt2.encode(text),
    )
    print(f"encoding {name}, {size:,} bytes, nothing remembered")
    for who in ("ours", "tiktoken"):
        print(f"  {who} {told([size / MEGABYTE / s for s in seconds[who]], 'MB/s')}")
    print(
        f"  ours / tiktoken: {told(ratios(seconds['tiktoken'], seconds['ours']), 'of its speed')}"
    )


def long_piece(gpt2: GPT2Tokenizer, rounds: int) -> None:
    """100 kB of one letter: a single piece."""
    tokenizer = BPETokenizer(gpt2.ranks, gpt2.merges)
    seconds = interleaved(rounds, ours=lambda: tokenizer.encode("a" * 100_000))
    print(f"100,000 times one letter: {told(seconds['ours'], 's')}")


def highest_memory(forget: bool = False) -> float:
    """Megabytes of the highest resident set so far, or since it was last forgotten."""
    if forget:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / MEGABYTE


def stream(file: str) -> None:
    """Encode a file line by line, in a process of its own, and print what that added in memory."""
    gpt2 = load_tokenizer("gpt2")
    assert isinstance(gpt2, GPT2Tokenizer)
    for tokenizer in (BPETokenizer(gpt2.ranks, gpt2.merges), gpt2):
        before = highest_memory(forget=True)
        start, count = time.process_time(), 0
        with open(file, encoding="utf-8") as lines:
            for _ in tokenizer.encode_iterable(lines):
                count += 1
        added = highest_memory() - before
        size, seconds = os.path.getsize(file) / MEGABYTE, time.process_time() - start
        print(
            f"encode_iterable of {type(tokenizer).__name__} on {size:.0f} MB: {count:,} ids, "
            f"{added:.1f} MB more memory, {size / seconds:.1f} MB/s",
            flush=True,
        )


def varied_lines(text: str, size: int) -> Iterator[str]:
    """Lines of a text in ever new order with ever new numbers, up to a size in bytes."""
    draw, lines = random.Random(0), text.splitlines()
    while size > 0:
        line = f"{draw.choice(lines)} {draw.getrandbits(40)} {distinct_words(8)}\n"
        size -= len(line.encode())
        yield line


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("training_text", type=Path)
    parser.add_argument("encoding_text", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--stream-megabytes", type=int, default=100)
    arguments = parser.parse_args()
    gpt2 = load_tokenizer("gpt2")
    assert isinstance(gpt2, GPT2Tokenizer)
    training(arguments.training_text.read_text(encoding="utf-8"), arguments.rounds)
    text = arguments.encoding_text.read_text(encoding="utf-8")
    encoding(arguments.encoding_text.name, text, gpt2, arguments.rounds)
    encoding("random words", distinct_words(MEGABYTE), gpt2, arguments.rounds)
    long_piece(gpt2, arguments.rounds)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "stream.txt"
        with open(file, "w", encoding="utf-8") as out:
            out.writelines(varied_lines(text, arguments.stream_megabytes * MEGABYTE))
        subprocess.run([sys.executable, __file__, "--stream", file], check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--stream"]:
        stream(sys.argv[2])
    else:
        main()
