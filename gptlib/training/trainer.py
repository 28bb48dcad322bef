"""The loop of training.

Looking at a run changes nothing in it: what is random in a step follows from the seed and the
place in the run alone, so validation, sample texts and checkpoints may come as often as they like.
"""

import math
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from tqdm import tqdm

from gptlib import environment
from gptlib.config import TrainingConfig
from gptlib.data.corpora import Corpus
from gptlib.data.dataset import TokenDataset, TokenShards
from gptlib.data.prepare import PreparedCorpus
from gptlib.errors import ConfigError, TokenOutOfRange, TrainingStopped
from gptlib.generation import generate
from gptlib.kv_cache import CachedGPT
from gptlib.model import GPT, check_ids
from gptlib.tokenizer import Tokenizer
from gptlib.training import distributed
from gptlib.training.evaluation import evaluate, subsample
from gptlib.training.flops import run_info, step_metrics
from gptlib.training.metrics import Row, best_validation, curve
from gptlib.training.optimizer import gradient_norm_by_layer, learning_rate_of, make_optimizer
from gptlib.training.run import Run
from gptlib.training.step import Precision, explained, seed_for_position, training_step


class Trainer:
    """Trains a model on windows and keeps what happened.

    Args:
        model: trained in place, on the device where it is.
        train: windows to learn from.
        validation: windows to judge by, never learned from.
        config: how.
        run_folder: gets metrics, checkpoints and the tokenizer; None keeps the metrics in memory.
        tokenizer: writes the samples and is kept with the run for ``gptlib generate``.
        corpus: named in the metrics' first line.
        report: gets a line for people at each validation and sample, such as ``print``.

    Raises:
        TokenOutOfRange: an id is not in the model's vocabulary.
        CheckpointError: the disk of the run's folder has no room for a checkpoint.
        ConfigError: what cannot work: samples without a tokenizer, or micro-batches that cannot
            be shared out over the processes.
    """

    def __init__(
        self,
        model: GPT,
        train: TokenDataset,
        validation: TokenDataset,
        config: TrainingConfig,
        run_folder: str | Path | None = None,
        tokenizer: Tokenizer | None = None,
        corpus: Corpus | PreparedCorpus | None = None,
        report: Callable[[str], None] | None = None,
    ) -> None:
        check_data(model, train)
        check_data(model, validation)
        if config.sample_every and tokenizer is None:
            raise ConfigError("sample_every needs a tokenizer: give one, or set sample_every=0")
        if config.accumulation % (count := distributed.world_size()):
            raise ConfigError(
                f"accumulation {config.accumulation} cannot be shared by {count} processes: "
                f"use a multiple of {count}"
            )
        self.model, self.config = model, config
        self.tokenizer, self.report = tokenizer, report or (lambda line: None)
        self.training_data = train
        self.validation_data = subsample(validation, config.evaluate_batches * config.batch_size)
        self.optimizer = make_optimizer(model, config)
        self.precision = Precision(config.precision, model.device)
        if config.compile:
            for block in model.blocks:
                block.compile()  # each in place: parameters keep their names
        self.network = distributed.wrap_model(model)
        self.run_info = run_info(
            model, config, self.precision.dtype, train.context_length, corpus, tokenizer
        )
        kept = model, self.optimizer, self.precision  # in every checkpoint
        self.run = Run(run_folder, *kept, config, [train, validation], tokenizer)
        self.step = self.resumed_step = 0  # updates done: in all, and by earlier sessions

    def train(
        self, until: int | None = None, resume: bool = False, max_minutes: float | None = None
    ) -> list[Row]:
        """Train to the end, or until something stops it earlier, and save a checkpoint there.

        Args:
            until: stop once this many updates are done, as if the session ended here.
            resume: go on with the run in the folder if there is one; the outcome is the same,
                bit for bit, as if it had never stopped.
            max_minutes: stop in time to save before so many minutes are over.

        Returns:
            The rows of ``metrics.jsonl``, see :mod:`gptlib.training.metrics`.

        Raises:
            FolderError, CheckpointError: see :meth:`Run.begin` and :meth:`Run.locked`.
            TrainingDiverged, GPTLibError: see :func:`explained`.
            TrainingStopped: Ctrl-C or SIGTERM came; the checkpoint is written.
        """
        last = self.config.steps if until is None else min(until, self.config.steps)
        ends = time.monotonic() + 60 * (math.inf if max_minutes is None else max_minutes)
        with StopSignal() as stop, self.run.locked():
            if not self.run.log.rows:  # else a second call goes on with what is in memory
                self.step = self.resumed_step = self.run.begin(self.run_info, resume)
                if self.step:
                    self.report(f"step {self.step:>5}   of {self.config.steps}: goes on from here")
            self.model.train()
            seconds = 0.0  # of the last step
            with progress_bar(last, self.step) as bar:
                if self.step == 0:
                    self.evaluate_and_save()
                while self.step < last and not self.should_stop(stop, ends - seconds):
                    seconds = self.update()
                    self.evaluate_and_save()
                    bar.update()
            self.run.save(self.step)
        if stop.name and self.step < last:
            raise TrainingStopped(f"{stop.name} after step {self.step} of {last}")
        return self.run.log.rows

    def should_stop(self, stop: "StopSignal", deadline: float) -> bool:
        """Whether a signal has come, or what is left before `deadline` is too short to save."""
        over = stop.name is not None or time.monotonic() + self.run.save_seconds > deadline
        return distributed.any_process(over, self.model.device)

    def update(self) -> float:
        """One step, and its row in the metrics; returns its seconds."""
        started, config = time.perf_counter(), self.config
        size, seed, T = config.batch_size, config.seed, self.training_data.context_length
        positions = self.batch_positions()
        batches = [self.training_data.get_batch(position, size, seed) for position in positions]
        seeds = [seed_for_position(seed, position) for position in positions]
        rate = learning_rate_of(self.step, config)
        with explained(self.step, config, T, self.run.saved_step):
            options = config.clip_norm, self.precision, seeds
            row = training_step(self.network, self.optimizer, batches, rate, *options)
        seconds = time.perf_counter() - started
        if self.is_due(config.log_layers_every) and "gradient_norm" in row:
            scale = max(1.0, row["gradient_norm"] / config.clip_norm)  # they have been clipped
            row["gradient_norms"] = gradient_norm_by_layer(self.model, scale)
        tokens = size * config.accumulation * T
        row |= {"tokens": (self.step + 1) * tokens}
        row |= step_metrics(self.run_info, tokens, seconds, self.model.device)
        self.run.log.add(step=self.step, learning_rate=rate, **row)
        self.step += 1
        return seconds

    def batch_positions(self) -> list[int]:
        """Where in the run this process's micro-batches of this step begin, in windows."""
        share = self.config.accumulation // distributed.world_size()
        first = self.step * self.config.accumulation + distributed.rank() * share
        return [number * self.config.batch_size for number in range(first, first + share)]

    def evaluate_and_save(self) -> None:
        """Validate, write a sample and save, where this step is due for it."""
        if distributed.rank() > 0:
            return
        best = self.is_due(self.config.evaluate_every) and self.validate()
        if self.tokenizer and self.is_due(self.config.sample_every):
            self.write_sample(self.tokenizer)
        due = self.is_due(self.config.checkpoint_every) or (best and self.config.checkpoint_every)
        if self.step and (due or self.run.overdue()):
            self.run.save(self.step)

    def is_due(self, every: int) -> bool:
        """Whether something that happens every `every` steps, and after the last, happens now."""
        return every > 0 and (self.step % every == 0 or self.step == self.config.steps)

    def validate(self) -> bool:
        """Measure and report the validation loss; returns whether it is the lowest so far."""
        with self.precision.autocast():
            loss = evaluate(self.model, self.validation_data, self.config.batch_size)
        recent = curve(self.run.log.rows, "loss")[1][-self.config.evaluate_every :]
        self.run.log.add(step=self.step, validation_loss=loss)
        training = f"{sum(recent) / len(recent):.4f}" if recent else "   –  "
        self.report(f"step {self.step:>5}   training {training}   validation {loss:.4f}")
        return best_validation(self.run.log.rows)[0] == self.step

    def write_sample(self, tokenizer: Tokenizer) -> None:
        """Continue the first words of the validation text, always with the same luck."""
        prompt, end = self.validation_data[0][0][:8].tolist(), tokenizer.end_of_text
        settings = {"temperature": 0.8, "seed": self.config.seed, "end_of_text": end}
        (ids,) = generate(CachedGPT(self.model), prompt, 40, **settings)
        text = tokenizer.decode(ids[:-1] if ids[-1] == end else ids)
        self.run.log.add(step=self.step, text=text)
        self.report(f"step {self.step:>5}   {' '.join(text.split())}")


def check_data(model: GPT, data: TokenDataset) -> None:
    """Check every id once, on the CPU, before a device reports it badly and late.

    Of shards, whose ids :func:`gptlib.data.shards.verify_shards` has looked at, the vocabulary.
    """
    known, shards = model.config.vocab_size, isinstance(data.ids, TokenShards)
    if isinstance(data.ids, TokenShards) and data.ids.vocab_size > known:
        raise TokenOutOfRange(
            f"the shards' vocabulary of {data.ids.vocab_size:,} is larger than the model's of "
            f"{known:,}: give the model a vocab_size of {data.ids.vocab_size}"
        )
    inputs, targets = data[:1] if shards else data[:]  # (n, T) each
    for ids in (inputs, targets.clamp(min=0)):  # −100 teaches nothing
        check_ids(ids, model.config)


class StopSignal:
    """Remembers Ctrl-C and SIGTERM instead of obeying at once; a second Ctrl-C aborts.

    Only the main thread may listen; in any other, signals keep their usual meaning.
    """

    name: str | None = None  # "SIGINT" (Ctrl-C) or "SIGTERM", once it has come

    def __enter__(self) -> "StopSignal":
        listening = threading.current_thread() is threading.main_thread()
        numbers = (signal.SIGINT, signal.SIGTERM) if listening else ()
        self.handlers = {number: signal.signal(number, self.remember) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)

    def remember(self, number: int, frame: FrameType | None) -> None:
        """What happens when a signal comes."""
        if self.name and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.name = signal.Signals(number).name


def progress_bar(total: int, done: int) -> Any:
    """A bar over steps in a terminal or notebook; silent where output is kept or compared."""
    shown = sys.stderr.isatty() or "ipykernel" in sys.modules
    silent = environment.quiet() or not shown
    return tqdm(total=total, initial=done, desc="training", unit="step", disable=silent)
