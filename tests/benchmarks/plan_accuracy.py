"""How near the planner's figures come to what then happens on this machine.

    python tests/benchmarks/plan_accuracy.py [--rounds 3] [NAME …]

Each round plans (with its probe steps, which never take the planned micro-batch) and then
trains a few steps with the trainer itself, each in a process of its own, one after the other,
so that a busy machine disturbs both alike. Not on Windows, which keeps no record of memory.
"""

import argparse
import json
import statistics
import subprocess
import sys

import torch

from gptlib.config import GPTConfig, TrainingConfig
from gptlib.data.corpora import load_corpus
from gptlib.data.windows import encode_documents, windows
from gptlib.model import GPT
from gptlib.planning.costs import calibrate
from gptlib.planning.footprint import Batch, memory_parts
from gptlib.planning.machine import this_machine
from gptlib.planning.plan import probe_limit
from gptlib.planning.probe import run_probe
from gptlib.tokenizer import load_tokenizer
from gptlib.training.trainer import Trainer

CASES = {
    "laptop": (GPTConfig.named("laptop"), Batch(32)),
    "6 layers": (
        GPTConfig(context_length=256, n_layers=6, n_heads=6, width=384, dropout=0.0),
        Batch(8),
    ),
    "gpt2": (GPTConfig.named("gpt2", context_length=256), Batch(4, accumulation=2)),
}
STEPS = {"laptop": 30, "6 layers": 10, "gpt2": 4}
MEGABYTE = 2**20


def train(name: str) -> None:
    """Train as ``train`` does and print seconds of a typical step and the peak of memory."""
    config, batch = CASES[name]
    tokenizer = load_tokenizer("gpt2")
    corpus = load_corpus("sample-articles")
    data = windows(encode_documents(tokenizer, [corpus.text]), config.context_length)
    training = TrainingConfig(
        steps=STEPS[name], batch_size=batch.size, accumulation=batch.accumulation
    )
    held_out = tuple(part[:2] for part in data)
    rows = Trainer(GPT(config, seed=0), data, held_out, training, tokenizer=tokenizer).train()
    steps = [row for row in rows if "seconds" in row]
    seconds = statistics.median(row["seconds"] for row in steps[1:])  # the first makes moments
    print(json.dumps({"seconds": seconds, "memory": steps[-1]["peak_memory"]}))


def plan(name: str) -> dict[str, float]:
    """The planner's two figures."""
    config, batch = CASES[name]
    machine = this_machine()

    def modelled(batch: Batch) -> int:
        return sum(memory_parts(config, batch, machine.dtype, machine.device_type).values())

    probes = run_probe(config, probe_limit(batch.size))
    costs = calibrate(probes, modelled)
    for probe in probes:
        over = (probe.peak_memory or 0) - modelled(probe.batch)
        print(f"   {probe.batch}: {probe.seconds:.3f} s, {over / MEGABYTE:.0f} MB over the model")
    print(f"   {costs}")
    return {"seconds": costs.seconds(batch), "memory": modelled(batch) + costs.beside(batch)}


def compare(names: list[str], rounds: int) -> None:
    """Print predicted over measured for each case, round by round."""
    for number in range(rounds):
        for name in names:
            predicted = plan(name)
            command = [sys.executable, __file__, "--train", name]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            measured = json.loads(done.stdout.splitlines()[-1])
            time, memory = predicted["seconds"], predicted["memory"] / MEGABYTE
            ratio = time / measured["seconds"], predicted["memory"] / measured["memory"]
            print(
                f"{name}, round {number + 1}: step {time:.3f} s predicted, "
                f"{measured['seconds']:.3f} s measured ({ratio[0]:.2f}); memory {memory:,.0f} MB "
                f"predicted, {measured['memory'] / MEGABYTE:,.0f} MB measured ({ratio[1]:.2f})",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        train(arguments.names[0])
    else:
        print(f"{torch.get_num_threads()} threads, PyTorch {torch.__version__}")
        compare(arguments.names or list(CASES), arguments.rounds)
