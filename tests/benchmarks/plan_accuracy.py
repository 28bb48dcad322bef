"""How near the planner's figures come to what then happens on this machine.

    python tests/benchmarks/plan_accuracy.py [--rounds 3] [--busy] [NAME …]

Each round plans (with its probe steps, which never take the planned micro-batch) and then
trains a few steps with the trainer itself, each in a process of its own, one after the other,
so that a busy machine disturbs both alike. Where it is too busy for that, ``--busy`` gives both
one thread and counts its processor time. Not on Windows, which keeps no record of memory.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict
from typing import Any

import torch

from gptlib.config import GPTConfig, TrainingConfig
from gptlib.data.corpora import load_corpus
from gptlib.data.windows import encode_documents, windows
from gptlib.model import GPT
from gptlib.planning.costs import Probe, calibrate
from gptlib.planning.footprint import Batch, memory_parts
from gptlib.planning.machine import this_machine
from gptlib.planning.plan import probe_limit
from gptlib.planning.probe import ALTOGETHER, take_steps
from gptlib.tokenizer import load_tokenizer
from gptlib.training.trainer import Trainer

CASES = {  # model, batch, steps to train
    "laptop": (GPTConfig.named("laptop"), Batch(32), 20),
    "6 layers": (
        GPTConfig(context_length=256, n_layers=6, n_heads=6, width=384, dropout=0.0),
        Batch(8),
        6,
    ),
    "gpt2": (GPTConfig.named("gpt2", context_length=256), Batch(4, accumulation=2), 3),
}
MEGABYTE = 2**20


def train(name: str) -> dict[str, float]:
    """Train as ``train`` does: seconds of a typical step and the peak of memory."""
    config, batch, steps = CASES[name]
    tokenizer = load_tokenizer("gpt2")
    corpus = load_corpus("sample-articles")
    data = windows(encode_documents(tokenizer, [corpus.text]), config.context_length)
    training = TrainingConfig(
        steps=steps, batch_size=batch.size, accumulation=batch.accumulation, evaluate_batches=1
    )
    model = GPT(config, seed=training.seed)
    rows = Trainer(model, data, data, training, tokenizer=tokenizer).train()
    rows = [row for row in rows if "seconds" in row]
    seconds = statistics.median(row["seconds"] for row in rows[1:])  # the first makes moments
    return {"seconds": seconds, "memory": rows[-1]["peak_memory"]}


def probe(name: str) -> list[dict[str, Any]]:
    """The steps that the planner takes for this case."""
    config, batch, _ = CASES[name]
    return [asdict(kind) for kind in take_steps(config, probe_limit(batch.size), ALTOGETHER)]


def plan(name: str, found: list[dict[str, Any]]) -> dict[str, float]:
    """The planner's two figures, from what the probe found."""
    config, batch, _ = CASES[name]
    machine = this_machine()

    def modelled(batch: Batch) -> int:
        return sum(memory_parts(config, batch, machine.dtype, machine.device_type).values())

    probes = [Probe(Batch(**one.pop("batch")), **one) for one in found]
    costs = calibrate(probes, modelled)
    return {"seconds": costs.seconds(batch), "memory": modelled(batch) + costs.beside(batch)}


def in_new_process(what: str, name: str, busy: bool) -> Any:
    """What `probe` or `train` returns, run alone."""
    command = [sys.executable, __file__, "--only", what, name, *(["--busy"] if busy else [])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"} if busy else None
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def compare(names: list[str], rounds: int, busy: bool) -> None:
    """Print predicted over measured for each case, round by round."""
    for number in range(rounds):
        for name in names:
            found = in_new_process("probe", name, busy)
            print("  ", found, flush=True)
            predicted = plan(name, found)
            measured = in_new_process("train", name, busy)
            ratios = {key: predicted[key] / measured[key] for key in predicted}
            print(
                f"{name}, round {number + 1}: "
                f"step {predicted['seconds']:.3f} s predicted, "
                f"{measured['seconds']:.3f} s measured ({ratios['seconds']:.2f}); "
                f"memory {predicted['memory'] / MEGABYTE:,.0f} MB predicted, "
                f"{measured['memory'] / MEGABYTE:,.0f} MB measured ({ratios['memory']:.2f})",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", action="store_true", help="one thread's processor time")
    parser.add_argument("--only", choices=["probe", "train"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        if arguments.busy:
            time.perf_counter = time.process_time
        only = {"probe": probe, "train": train}[arguments.only]
        print(json.dumps(only(arguments.names[0])))
    else:
        print(f"{torch.get_num_threads()} threads, PyTorch {torch.__version__}", flush=True)
        compare(arguments.names or list(CASES), arguments.rounds, arguments.busy)
