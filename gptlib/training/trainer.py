"""The loop of training.

Looking at a run changes nothing in it: what is random in a step follows from the seed and the
place in the run alone, so validation, sample texts and checkpoints may come as often as they like.
"""

import time
from collections.abc import Callable
from pathlib import Path

from gptlib.config import TrainingConfig
from gptlib.data.corpora import Corpus
from gptlib.data.dataset import TokenDataset, TokenShards
from gptlib.data.prepared import Prepared
from gptlib.errors import ConfigError, TokenOutOfRange, TrainingStopped
from gptlib.generation import generate
from gptlib.kv_cache import CachedGPT
from gptlib.model import GPT, check_ids
from gptlib.tokenizer import Tokenizer
from gptlib.training import distributed
from gptlib.training.evaluation import evaluate, subsample
from gptlib.training.measuring import about_run, step_cost
from gptlib.training.metrics import Row, best_validation, curve
from gptlib.training.optimizer import (
    gradient_norm_by_layer,
    learning_rate_of,
    make_optimizer,
)
from gptlib.training.progress import progress_bar
from gptlib.training.run import Run
from gptlib.training.session import Session, session
from gptlib.training.step import Precision, seed_for_position, training_step
from gptlib.training.troubles import named_step


class Trainer:
    """Trains a model on windows and keeps what happened.

    Args:
        model: trained in place, on the device where it is.
        train: windows to learn from.
        validation: windows to judge by, never learned from.
        config: how.
        run_folder: gets metrics, checkpoints and the tokenizer; None keeps the metrics in
            memory and nothing else.
        tokenizer: writes the samples and is kept with the run for ``gptlib generate``.
        corpus: named in the metrics' first line.
        report: gets a line for people at each validation and sample, such as ``print``.

    Raises:
        TokenOutOfRange: an id is not in the model's vocabulary.
        CheckpointError: the disk of the run's folder has no room for a checkpoint.
        ConfigError: samples are wanted without a tokenizer, the micro-batches of a step cannot
            be shared out over the processes, or the device lacks the precision.
    """

    def __init__(
        self,
        model: GPT,
        train: TokenDataset,
        validation: TokenDataset,
        config: TrainingConfig,
        run_folder: str | Path | None = None,
        tokenizer: Tokenizer | None = None,
        corpus: Corpus | Prepared | None = None,
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
        self.context_length = train.context_length
        self.about = about_run(
            model, config, self.precision, self.context_length, corpus, tokenizer
        )
        kept = model, self.optimizer, self.precision  # in every checkpoint
        self.network = distributed.wrap_model(model)
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
            RunExists, RunInUse, CheckpointError, FolderError: see :class:`Run`.
            TrainingDiverged, OutOfMemory, ProcessLost: see :mod:`gptlib.training.troubles`.
            TrainingStopped: Ctrl-C or SIGTERM came; the checkpoint is written.
        """
        last = self.config.steps if until is None else min(until, self.config.steps)
        with session(max_minutes) as sitting, self.run.locked():
            if not self.run.log.rows:
                self.step = self.run.begin(self.about, resume)
                self.resumed_step = self.step
                if self.step:
                    self.report(f"step {self.step:>5}   of {self.config.steps}: goes on from here")
            self.model.train()
            with progress_bar(last, self.step) as bar:
                if self.step == 0:
                    self.look()
                seconds = 0.0
                while self.step < last and not self.over(sitting, seconds):
                    seconds = self.update()
                    self.look()
                    bar.update()
            self.run.save(self.step)
        if sitting.signal and self.step < last:
            raise TrainingStopped(f"{sitting.signal} after step {self.step} of {last}")
        return self.run.log.rows

    def over(self, sitting: Session, seconds: float) -> bool:
        """Whether to stop before a step that takes `seconds`: every process agrees."""
        stop = sitting.over(seconds + self.run.save_seconds)
        return distributed.any_process(stop, self.model.device)

    def update(self) -> float:
        """One step, and its row in the metrics; returns its seconds."""
        started, places = time.perf_counter(), self.places()
        seed, size = self.config.seed, self.config.batch_size
        batches = [self.training_data.get_batch(place, size, seed) for place in places]
        seeds = [seed_for_position(seed, place) for place in places]
        rate = learning_rate_of(self.step, self.config)
        with named_step(self.step, self.config, self.context_length, self.run.saved_step):
            options = self.config.clip_norm, self.precision, seeds
            row = training_step(self.network, self.optimizer, batches, rate, *options)
        seconds = time.perf_counter() - started
        if self.due(self.config.log_layers_every) and "clipped_norm" in row:
            scale = row["gradient_norm"] / row["clipped_norm"]
            row["gradient_norms"] = gradient_norm_by_layer(self.model, scale)
        tokens = self.config.batch_size * self.config.accumulation * self.context_length
        cost = step_cost(self.about, tokens, seconds, self.model.device)
        done = (self.step + 1) * tokens
        self.run.log.add(step=self.step, learning_rate=rate, **row, tokens=done, **cost)
        self.step += 1
        return seconds

    def places(self) -> list[int]:
        """Where in the run this process's micro-batches of this step begin, in windows."""
        size, share = self.config.batch_size, self.config.accumulation // distributed.world_size()
        first = self.step * self.config.accumulation + distributed.rank() * share
        return [number * size for number in range(first, first + share)]

    def look(self) -> None:
        """Validate, write a sample and save, where this step is due for it."""
        if distributed.rank() > 0:
            return
        best = self.due(self.config.evaluate_every) and self.validate()
        if self.tokenizer and self.due(self.config.sample_every):
            self.write_sample(self.tokenizer)
        wanted = self.due(self.config.checkpoint_every) or (best and self.config.checkpoint_every)
        if self.step and (wanted or self.run.overdue()):
            self.run.save(self.step)

    def due(self, every: int) -> bool:
        """Whether something that happens every `every` steps, and at the end, happens now."""
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
        prompt = self.validation_data[0][0][:8].tolist()
        end, seed = tokenizer.end_of_text, self.config.seed
        settings = {"temperature": 0.8, "seed": seed, "end_of_text": end}
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
    for ids in data[:1] if shards else data[:]:
        check_ids(ids, model.config)
