"""How fast the 124M model trains beside transformers', and how much memory each takes.

    python tests/benchmarks/training_speed.py --rounds 9 --steps 2

Each contender is a process of its own, as its user would have it, that waits for its turn. In a
round each trains some steps: forward, backward, clipping to norm 1, AdamW; in float32, without
dropout, on the same random ids. Transformers' model runs in eager mode and computes its own loss;
its optimizer is AdamW as PyTorch makes it, and in a third process the fused one, which its
Trainer has taken since PyTorch 2.8. A round ends with a matrix product, (1024, 768) @ (768, 3072),
whose rate is the limit that a step is measured by: a token takes 6N + 12·L·H·D·T FLOPs.

Ratios are taken round by round, so that a busy machine disturbs them little. Memory is the
kernel's record of the highest resident set, Python and PyTorch included. Not for Windows.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

CONTENDERS = ("ours", "transformers", "transformers-fused")
SIZES = ((256, 4), (1024, 1))  # (T, B)
Values = list[float]


def told(values: Values, digits: int = 2) -> str:
    """A median with its range."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def our_step(T: int, B: int) -> Callable[[], float]:
    """One step as the trainer takes it."""
    import torch

    from gptlib.config import GPTConfig, TrainingConfig
    from gptlib.model import GPT
    from gptlib.training.optimizer import make_optimizer
    from gptlib.training.step import training_step

    model = GPT(GPTConfig(dropout=0.0), seed=0).train()
    optimizer = make_optimizer(model, TrainingConfig())
    ids = torch.randint(50_257, (B, T + 1), generator=torch.Generator().manual_seed(0))
    windows = [(ids[:, :-1], ids[:, 1:])]
    return lambda: training_step(model, optimizer, windows, 1e-4, clip_norm=1.0)["loss"]


def their_step(T: int, B: int, fused: bool) -> Callable[[], float]:
    """One step of transformers' model, in the manner of its Trainer."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False)
    torch.manual_seed(0)
    model = GPT2LMHeadModel._from_config(config, attn_implementation="eager").train()
    decaying = [p for p in model.parameters() if p.dim() >= 2]
    free = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": decaying, "weight_decay": 0.1}, {"params": free, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-4, betas=(0.9, 0.95), fused=fused or None)
    ids = torch.randint(50_257, (B, T), generator=torch.Generator().manual_seed(0))

    def step() -> float:
        optimizer.zero_grad()
        loss = model(ids, labels=ids).loss  # shifted inside: the last position has no target
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step


def matrix_product() -> Callable[[], float]:
    """GFLOP/s of the best of 20 products as large as an MLP's."""
    import torch

    x, weight = torch.randn(1024, 768), torch.randn(768, 3072)

    def measure() -> float:
        best = float("inf")
        for _ in range(20):
            start = time.perf_counter()
            x @ weight
            best = min(best, time.perf_counter() - start)
        return 2 * 1024 * 768 * 3072 / best / 1e9

    return measure


def work(who: str, T: int, B: int) -> None:
    """A contender: a line with a number of steps comes in, a line of measurements goes out."""
    if who == "product":
        step = matrix_product()
    else:
        step = our_step(T, B) if who == "ours" else their_step(T, B, who.endswith("fused"))
    for line in sys.stdin:
        start, processor = time.perf_counter(), time.process_time()
        results = [step() for _ in range(int(line))]
        answer = {
            "seconds": time.perf_counter() - start,
            "processor": time.process_time() - processor,
            "result": results[-1],  # the loss, or GFLOP/s
            "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            * (1 if sys.platform == "darwin" else 1024)  # bytes there, kilobytes on Linux
            / 1e6,
        }
        print(json.dumps(answer), flush=True)


class Contender:
    """The process of a contender, seen from outside."""

    def __init__(self, who: str, T: int, B: int) -> None:
        command = [sys.executable, __file__, "--work", who, str(T), str(B)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.answers: list[dict[str, float]] = []

    def run(self, steps: int) -> dict[str, float]:
        """Let it work, and return what it measured."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        self.answers.append(json.loads(self.process.stdout.readline()))
        return self.answers[-1]

    def values(self, name: str) -> Values:
        """What it measured in all rounds but the first, which warms up."""
        return [answer[name] for answer in self.answers[1:]]


def compare(T: int, B: int, rounds: int, steps: int) -> None:
    """Let the contenders train in turn, and print what came out."""
    everyone = {who: Contender(who, T, B) for who in (*CONTENDERS, "product")}
    for number in range(rounds + 1):
        losses = {who: c.run(steps)["result"] for who, c in everyone.items() if who != "product"}
        everyone["product"].run(1)
        if number == 0:  # the same task: each begins at about ln 50,257 = 10.8
            assert all(10 < loss < 12 for loss in losses.values()), losses
    for contender in everyone.values():
        contender.process.communicate()  # closes its input: it ends
    report(everyone, T, B, steps)


def report(everyone: dict[str, Contender], T: int, B: int, steps: int) -> None:
    """Print medians and ranges over the rounds."""
    from gptlib.config import GPTConfig
    from gptlib.training.flops import flops_per_token

    tokens, ours = steps * B * T, everyone["ours"]
    limit = statistics.median(everyone["product"].values("result"))
    work_per_token = flops_per_token(GPTConfig(), T) / 1e9
    print(f"\nT {T:,} × B {B}: {work_per_token:.3f} GFLOP a token; products: {limit:.0f} GFLOP/s")
    for who in CONTENDERS:
        speed = [tokens / seconds for seconds in everyone[who].values("seconds")]
        share = statistics.median(speed) * work_per_token / limit
        memory = everyone[who].answers[-1]["megabytes"]
        print(f"  {who:18} {told(speed, 0)} tokens/s, {share:.0%} of the limit, {memory:,.0f} MB")
    for who in CONTENDERS[1:]:
        ratio = {
            clock: [
                b / a for a, b in zip(ours.values(clock), everyone[who].values(clock), strict=True)
            ]
            for clock in ("seconds", "processor")
        }
        memory = ours.answers[-1]["megabytes"] / everyone[who].answers[-1]["megabytes"]
        print(
            f"  beside {who}: {told(ratio['seconds'])} of its tokens/s, {memory:.3f} of its memory"
        )
        print(f"    by processor time: {told(ratio['processor'])} of its tokens/s")


def main() -> None:
    """Both sizes, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="that count; one more warms up")
    parser.add_argument("--steps", type=int, default=2, help="in each contender's turn")
    arguments = parser.parse_args()
    for T, B in SIZES:
        compare(T, B, arguments.rounds, arguments.steps)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
