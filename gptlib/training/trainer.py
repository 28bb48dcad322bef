"""The loop of training.

Looking at a run changes nothing in it: validation, sample texts and checkpoints draw nothing
from the random stream that training draws from, so their frequency cannot change the result.
"""

import time
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from gptlib.config import TrainingConfig
from gptlib.data.batches import Batches
from gptlib.data.corpora import Corpus
from gptlib.errors import ConfigError, TrainingDiverged
from gptlib.generation import generate
from gptlib.model import GPT, check_ids
from gptlib.tokenizer import Tokenizer
from gptlib.training.evaluation import evaluate
from gptlib.training.metrics import Row, curve
from gptlib.training.optimizer import make_optimizer
from gptlib.training.progress import progress_bar
from gptlib.training.run import Run
from gptlib.training.schedule import learning_rate_at
from gptlib.training.step import Windows, training_step


class Trainer:
    """Trains a model on windows and keeps what happened.

    Args:
        model: trained in place, on the device where it is.
        train: x and y to learn from, (n, T) each.
        validation: x and y to judge by, never learned from.
        config: how.
        run_folder: gets metrics, checkpoints and the tokenizer; None keeps the metrics in
            memory and nothing else.
        tokenizer: writes the samples and is kept with the run for ``gptlib generate``.
        corpus: named in the metrics' first line.
        report: gets a line for people at each validation and sample, such as ``print``.

    Raises:
        TokenOutOfRange: an id is not in the model's vocabulary.
        ConfigError: samples are wanted without a tokenizer.
    """

    def __init__(
        self,
        model: GPT,
        train: Windows,
        validation: Windows,
        config: TrainingConfig,
        run_folder: str | Path | None = None,
        tokenizer: Tokenizer | None = None,
        corpus: Corpus | None = None,
        report: Callable[[str], None] | None = None,
    ) -> None:
        check_windows(model, [*train, *validation])
        if config.sample_every and tokenizer is None:
            raise ConfigError("sample_every needs a tokenizer: give one, or set sample_every=0")
        self.model, self.config, self.validation = model, config, validation
        self.tokenizer, self.report = tokenizer, report or (lambda line: None)
        self.batches = Batches(*train, config.batch_size, config.seed)
        self.optimizer = make_optimizer(model, config)
        self.run = Run(run_folder, config, [*train, *validation], tokenizer, corpus)
        self.step = 0  # updates done

    def train(self, until: int | None = None, resume: bool = False) -> list[Row]:
        """Train to the end, or to step `until`, and save a checkpoint there.

        PyTorch's random stream is seeded, since dropout draws from it.

        Args:
            until: stop once this many updates are done, as if the session ended here.
            resume: go on with the run in the folder if there is one; the outcome is the same,
                bit for bit, as if it had never stopped.

        Returns:
            The rows of ``metrics.jsonl``, see :mod:`gptlib.training.metrics`.

        Raises:
            RunExists, CheckpointError: see :meth:`Run.begin`.
            TrainingDiverged: a gradient is not finite; the parameters are those before it.
        """
        last = self.config.steps if until is None else min(until, self.config.steps)
        self.step = self.run.begin(self.step, self.model, self.optimizer, resume)
        self.model.train()
        with progress_bar(last, self.step) as bar:
            if self.step == 0:
                self.look()
            while self.step < last:
                self.update()
                self.look()
                bar.update()
        self.run.pause(self.step, self.model, self.optimizer)
        return self.run.log.rows

    def update(self) -> None:
        """One step, and its row in the metrics."""
        config, started = self.config, time.perf_counter()
        rate = learning_rate_at(
            self.step,
            config.learning_rate,
            config.min_learning_rate,
            config.warmup_steps,
            config.steps,
        )
        batches = self.micro_batches()
        try:
            row = training_step(self.model, self.optimizer, batches, rate, config.clip_norm)
        except TrainingDiverged as error:
            raise TrainingDiverged(f"step {self.step}: {error}") from error
        seconds = time.perf_counter() - started
        tokens = sum(x.numel() for x, _ in batches)
        self.run.log.add(
            step=self.step,
            learning_rate=rate,
            **row,
            tokens=(self.step + 1) * tokens,
            tokens_per_second=tokens / seconds,
            seconds=seconds,
        )
        self.step += 1

    def micro_batches(self) -> list[Windows]:
        """The windows of this step."""
        size, count = self.config.batch_size, self.config.accumulation
        start = self.step * size * count
        return [self.batches.at(start + number * size) for number in range(count)]

    def look(self) -> None:
        """Validate, write a sample and save, where this step is due for it."""
        if self.due(self.config.evaluate_every):
            self.validate()
        if self.tokenizer and self.due(self.config.sample_every):
            self.write_sample(self.tokenizer)
        if self.step and self.due(self.config.checkpoint_every):
            self.run.save(self.step, self.model, self.optimizer)

    def due(self, every: int) -> bool:
        """Whether something that happens every `every` steps, and at the end, happens now."""
        return every > 0 and (self.step % every == 0 or self.step == self.config.steps)

    def validate(self) -> None:
        """Measure the validation loss, and report it beside the training loss since last time."""
        loss = evaluate(self.model, *self.validation, self.config.batch_size)
        recent = curve(self.run.log.rows, "loss")[1][-self.config.evaluate_every :]
        self.run.log.add(step=self.step, validation_loss=loss)
        training = f"{sum(recent) / len(recent):.4f}" if recent else "   –  "
        self.report(f"step {self.step:>5}   training {training}   validation {loss:.4f}")

    def write_sample(self, tokenizer: Tokenizer) -> None:
        """Continue the first words of the validation text, always with the same luck."""
        prompt = self.validation[0][0, :8].tolist()
        ids = generate(self.model, prompt, 40, temperature=0.8, seed=self.config.seed)[0]
        text = tokenizer.decode(ids)
        self.run.log.add(step=self.step, text=text)
        self.report(f"step {self.step:>5}   {' '.join(text.split())}")


def check_windows(model: GPT, data: list[Tensor]) -> None:
    """Check every id once, on the CPU, before a device reports it badly and late."""
    for tensor in data:
        check_ids(tensor, model.config)
