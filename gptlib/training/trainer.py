"""The loop of training.

Looking at a run changes nothing in it: what is random in a step follows from the seed and the
place in the run alone, so validation, sample texts and checkpoints may come as often as they like.
"""

import time
from collections.abc import Callable
from pathlib import Path

from gptlib.config import TrainingConfig
from gptlib.data.batches import Batches
from gptlib.data.corpora import Corpus
from gptlib.data.prepared import Prepared
from gptlib.data.shards import ShardWindows
from gptlib.data.windows import Rows, Windows
from gptlib.errors import ConfigError, TokenOutOfRange, TrainingStopped
from gptlib.generation import generate
from gptlib.kv_cache import CachedGPT
from gptlib.model import GPT, check_ids
from gptlib.tokenizer import Tokenizer
from gptlib.training import parallel
from gptlib.training.clipping import layer_norms
from gptlib.training.evaluation import evaluate, spread
from gptlib.training.measuring import about_run, step_cost
from gptlib.training.metrics import Row, best_validation, curve
from gptlib.training.optimizer import make_optimizer
from gptlib.training.precision import Precision
from gptlib.training.progress import progress_bar
from gptlib.training.run import Run
from gptlib.training.schedule import learning_rate_of
from gptlib.training.session import Session, session
from gptlib.training.step import seed_at, training_step
from gptlib.training.troubles import named_step


class Trainer:
    """Trains a model on windows and keeps what happened.

    Args:
        model: trained in place, on the device where it is.
        train: x and y to learn from, (n, T) each: tensors, or windows over token shards.
        validation: x and y to judge by, never learned from.
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
        train: Windows,
        validation: Windows,
        config: TrainingConfig,
        run_folder: str | Path | None = None,
        tokenizer: Tokenizer | None = None,
        corpus: Corpus | Prepared | None = None,
        report: Callable[[str], None] | None = None,
    ) -> None:
        check_windows(model, [*train, *validation])
        if config.sample_every and tokenizer is None:
            raise ConfigError("sample_every needs a tokenizer: give one, or set sample_every=0")
        if config.accumulation % parallel.count():
            raise ConfigError(
                f"accumulation {config.accumulation} cannot be shared by {parallel.count()} "
                f"processes: use a multiple of {parallel.count()}"
            )
        self.model, self.config = model, config
        self.tokenizer, self.report = tokenizer, report or (lambda line: None)
        self.batches = Batches(*train, config.batch_size, config.seed)
        self.validation = spread(validation, config.evaluate_batches * config.batch_size)
        self.optimizer = make_optimizer(model, config)
        self.precision = Precision(config.precision, model.device)
        if config.compile:
            for block in model.blocks:
                block.compile()  # each in place: parameters keep their names
        self.context_length = train[0].shape[1]
        self.about = about_run(
            model, config, self.precision, self.context_length, corpus, tokenizer
        )
        kept = model, self.optimizer, self.precision  # in every checkpoint
        self.run = Run(run_folder, *kept, config, [*train, *validation], tokenizer)
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
            FolderError, CheckpointError: see :class:`Run`.
            TrainingDiverged, GPTLibError: see :mod:`gptlib.training.troubles`.
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
        return parallel.any_of(sitting.over(seconds + self.run.save_seconds), self.model.device)

    def update(self) -> float:
        """One step, and its row in the metrics; returns its seconds."""
        started, places = time.perf_counter(), self.places()
        batches = [self.batches.at(place) for place in places]
        seeds = [seed_at(self.config.seed, place) for place in places]
        rate = learning_rate_of(self.step, self.config)
        with named_step(self.step, self.config, self.context_length, self.run.saved_step):
            options = self.config.clip_norm, self.precision, seeds
            row = training_step(self.model, self.optimizer, batches, rate, *options)
        seconds = time.perf_counter() - started
        if self.due(self.config.layers_every) and "clipped_norm" in row:
            row["layer_norms"] = layer_norms(self.model, row["gradient_norm"] / row["clipped_norm"])
        tokens = self.config.batch_size * self.config.accumulation * self.context_length
        cost = step_cost(self.about, tokens, seconds, self.model.device)
        done = (self.step + 1) * tokens
        self.run.log.add(step=self.step, learning_rate=rate, **row, tokens=done, **cost)
        self.step += 1
        return seconds

    def places(self) -> list[int]:
        """Where in the run this process's micro-batches of this step begin, in windows."""
        size, share = self.config.batch_size, self.config.accumulation // parallel.count()
        first = self.step * self.config.accumulation + parallel.rank() * share
        return [number * size for number in range(first, first + share)]

    def look(self) -> None:
        """Validate, write a sample and save, where this step is due for it."""
        if parallel.rank() > 0:
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
            loss = evaluate(self.model, *self.validation, self.config.batch_size)
        recent = curve(self.run.log.rows, "loss")[1][-self.config.evaluate_every :]
        self.run.log.add(step=self.step, validation_loss=loss)
        training = f"{sum(recent) / len(recent):.4f}" if recent else "   –  "
        self.report(f"step {self.step:>5}   training {training}   validation {loss:.4f}")
        return best_validation(self.run.log.rows)[0] == self.step

    def write_sample(self, tokenizer: Tokenizer) -> None:
        """Continue the first words of the validation text, always with the same luck."""
        prompt = self.validation[0][0][:8].tolist()
        end, seed = tokenizer.end_of_text, self.config.seed
        settings = {"temperature": 0.8, "seed": seed, "end_of_text": end}
        (ids,) = generate(CachedGPT(self.model), prompt, 40, **settings)
        text = tokenizer.decode(ids[:-1] if ids[-1] == end else ids)
        self.run.log.add(step=self.step, text=text)
        self.report(f"step {self.step:>5}   {' '.join(text.split())}")


def check_windows(model: GPT, data: list[Rows]) -> None:
    """Check every id once, on the CPU, before a device reports it badly and late.

    Of shards, whose ids :func:`gptlib.data.shards.verify_shards` has looked at, the vocabulary.
    """
    for rows in data:
        known = model.config.vocab_size
        if isinstance(rows, ShardWindows) and rows.ids.vocab_size > known:
            raise TokenOutOfRange(
                f"the shards' vocabulary of {rows.ids.vocab_size:,} is larger than the model's of "
                f"{known:,}: give the model a vocab_size of {rows.ids.vocab_size}"
            )
        check_ids(rows[:1] if isinstance(rows, ShardWindows) else rows[:], model.config)
