"""A few steps of the real model on this machine, in a process of their own.

    echo '{"config": {…}, "largest": 4, "seconds": 10}' | python -m gptlib.planning.probe

The process is new so that its peak of memory is that of training and of nothing before it.
"""

import json
import statistics
import subprocess
import sys
import time
from dataclasses import asdict

import torch

from gptlib.config import GPTConfig, TrainingConfig
from gptlib.environment import choose_device
from gptlib.errors import OutOfMemory
from gptlib.model import GPT
from gptlib.planning.costs import Probe
from gptlib.planning.footprint import Batch
from gptlib.training.memory import peak_memory
from gptlib.training.optimizer import make_optimizer
from gptlib.training.precision import Precision
from gptlib.training.step import training_step
from gptlib.training.trainer import Trainer

LONG_ENOUGH = 15.0  # seconds: a micro-batch that takes longer tells enough
ALTOGETHER = 10.0  # seconds to measure for: enough that a busy moment does not decide
LOADED = Trainer  # unused here; training loads it, so its memory counts


class Trial:
    """A model that takes steps on random ids."""

    def __init__(self, config: GPTConfig) -> None:
        self.device, _ = choose_device()
        self.config, self.training = config, TrainingConfig()
        self.model = GPT(config, seed=0).to(self.device).train()
        self.optimizer = make_optimizer(self.model, self.training)
        self.precision = Precision("auto", self.device)
        self.seconds: dict[Batch, list[float]] = {}
        self.peaks: dict[Batch, int | None] = {}

    def step(self, batch: Batch) -> float:
        """Take one step and note its seconds; the first of its kind also notes the peak."""
        shape = (batch.size, self.config.context_length)
        x = torch.randint(self.config.vocab_size, shape)  # (B, T)
        started = time.perf_counter()
        training_step(
            self.model,
            self.optimizer,
            [(x, x)] * batch.accumulation,
            self.training.min_learning_rate,
            self.training.clip_norm,
            self.precision,
        )
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        self.peaks.setdefault(batch, peak_memory(self.device))
        self.seconds.setdefault(batch, []).append(seconds)
        return seconds


def take_steps(config: GPTConfig, largest: int, seconds: float) -> list[Probe]:
    """Measure the kinds of step that :func:`gptlib.planning.costs.calibrate` needs.

    Args:
        config: the model.
        largest: windows in a micro-batch at most; sizes double from 1 up to it.
        seconds: to measure for; one more round is taken whatever it lasts.
    """
    trial, sizes = Trial(config), [1]
    trial.step(Batch(1))  # the first step makes AdamW's moments: it is not typical
    trial.seconds.clear()
    trial.peaks.clear()
    while trial.step(Batch(sizes[-1])) < LONG_ENOUGH and 2 * sizes[-1] <= largest:
        sizes.append(2 * sizes[-1])
    kinds = [*map(Batch, sizes[-2:]), Batch(sizes[-1], accumulation=2)]
    trial.step(kinds[-1])
    started, rounds = time.perf_counter(), 0
    while rounds < 1 or time.perf_counter() - started < seconds:
        rounds += 1
        for batch in kinds:
            trial.step(batch)
    return [
        Probe(kind, statistics.median(trial.seconds[kind]), trial.peaks[kind]) for kind in kinds
    ]


def run_probe(config: GPTConfig, largest: int, seconds: float = ALTOGETHER) -> list[Probe]:
    """:func:`take_steps` in a new process.

    Raises:
        OutOfMemory: not even the smallest step fits.
    """
    order = json.dumps({"config": config.to_dict(), "largest": largest, "seconds": seconds})
    command = [sys.executable, "-m", "gptlib.planning.probe"]
    done = subprocess.run(command, input=order, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise OutOfMemory(
            f"a trial step with one window failed ({reason}): "
            f"plan a smaller model or a shorter --context-length"
        )
    found = json.loads(done.stdout)
    return [Probe(Batch(**one.pop("batch")), **one) for one in found]


if __name__ == "__main__":
    given = json.load(sys.stdin)
    found = take_steps(GPTConfig.from_dict(given["config"]), given["largest"], given["seconds"])
    print(json.dumps([asdict(probe) for probe in found]))
