"""How fast the 124M model writes beside transformers' ``generate`` with its cache.

    taskset -c 0 python tests/benchmarks/generation_speed.py --rounds 5

Both have the same random weights. Prompt 32, greedy, batch 1 and 8; each round every contender
writes once, in turn, so that a busy machine disturbs ratios little: they are taken round by
round. Times are the process's own processor time on one thread, or with ``--threads 2`` the
clock's. The limit is the rate at which the memory is read, measured in the same run as the sum
of the weights: a token needs all of them once.

Then each loads the same safetensors file and writes one token.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from transformers import GPT2LMHeadModel

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from transformers_twin import random_ids, twins

from gptlib.config import GPTConfig
from gptlib.generation import generate
from gptlib.inference import prepare_for_inference
from gptlib.kv_cache import CachedGPT
from gptlib.pretrained.weights import load_openai

CONFIG = GPTConfig.named("gpt2")
Write = Callable[[int], list[list[int]]]  # a batch size in, its texts out


def told(values: list[float], digits: int = 1) -> str:
    """A median with its range."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def timed(clock: Callable[[], float], work: Callable[[], object]) -> float:
    """Seconds that some work takes."""
    start = clock()
    work()
    return clock() - start


def transformers_writes(model: GPT2LMHeadModel, prompt: torch.Tensor, new: int) -> Write:
    """Their own loop, as its user would call it."""

    def write(B: int) -> list[list[int]]:
        ids = prompt.expand(B, -1)
        settings = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0}
        mask = torch.ones_like(ids)
        return model.generate(ids, attention_mask=mask, max_new_tokens=new, **settings).tolist()

    return write


def our_text(model: CachedGPT, prompt: list[int], new: int, B: int) -> list[list[int]]:
    """The greedy texts of one batch."""
    return generate(model, prompt, new, n_sequences=B, temperature=0)


def contenders(folder: Path, new: int) -> dict[str, Write]:
    """Transformers first, then ours: plain, packed, and in 8 bits."""
    prompt = random_ids(CONFIG, 1, 32)
    theirs = GPT2LMHeadModel.from_pretrained(folder).eval()
    found = {"transformers": transformers_writes(theirs, prompt, new)}
    ours = {"cache alone": load_openai(folder)}
    for dtype in ("float32", "int8"):
        ours[dtype] = prepare_for_inference(load_openai(folder), dtype)
    for name, model in ours.items():
        found[name] = partial(our_text, CachedGPT(model), prompt[0].tolist(), new)
    return found


def compare_writing(
    writers: dict[str, Write], clock: Callable[[], float], rounds: int, new: int
) -> None:
    """Print tokens a second, beside transformers', and the share of the memory's rate."""
    weights = torch.ones(CONFIG.width, 160_000)  # 492 MB, as the model's
    for B in (1, 8):
        texts = {name: write(B) for name, write in writers.items()}  # warm, and compared
        seconds: dict[str, list[float]] = {name: [] for name in (*writers, "limit")}
        for _ in range(rounds):
            for name, write in writers.items():
                seconds[name].append(timed(clock, partial(write, B)) / (B * new))
            seconds["limit"].append(timed(clock, weights.sum) / B)
        for name in seconds:
            rates = [1 / each for each in seconds[name]]
            pairs = zip(seconds["transformers"], seconds[name], strict=True)
            ratios = [theirs / ours for theirs, ours in pairs]
            limits = [limit / s for limit, s in zip(seconds["limit"], seconds[name], strict=True)]
            same = texts[name] == texts["transformers"] if name in texts else "-"
            print(
                f"batch {B}  {name:12}  {told(rates)} tokens/s  {told(ratios, 2)} times theirs"
                f"  {told(limits, 2)} of the limit  same text {same}",
                flush=True,
            )


def compare_loading(folder: Path, clock: Callable[[], float], rounds: int) -> None:
    """Print the seconds from a file to the first token."""
    ids = random_ids(CONFIG, 1, 32)
    ways = {
        "transformers": lambda: GPT2LMHeadModel.from_pretrained(folder).eval()(ids),
        "copied": lambda: load_openai(folder)(ids),
        "mapped": lambda: load_openai(folder, mapped=True)(ids),
    }
    with torch.no_grad():
        seconds = {name: [timed(clock, way) for _ in range(rounds)] for name, way in ways.items()}
    for name, values in seconds.items():
        print(f"from the file to the first token  {name:12}  {told(values, 2)} s", flush=True)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--new", type=int, default=128, help="tokens to write")
    options.add_argument("--threads", type=int, default=1)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    clock = time.process_time if chosen.threads == 1 else time.perf_counter
    with tempfile.TemporaryDirectory() as place:
        _, theirs = twins(CONFIG, 0.1, torch.float32)
        theirs.save_pretrained(place)
        compare_loading(Path(place), clock, 3)
        compare_writing(contenders(Path(place), chosen.new), clock, chosen.rounds, chosen.new)


if __name__ == "__main__":
    main()
