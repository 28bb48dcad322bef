"""What ``train`` does: from names and numbers to a run."""

import contextlib
import os
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gptlib.commands.material import material_of
from gptlib.config import GPTConfig, TrainingConfig, require
from gptlib.data.windows import Windows
from gptlib.environment import setup
from gptlib.errors import ConfigError, RunExists, TrainingStopped
from gptlib.model import GPT
from gptlib.settings import resolve
from gptlib.training import parallel
from gptlib.training.budget import seconds_per_step, with_budget
from gptlib.training.metrics import FILE_NAME, best_validation, read_metrics
from gptlib.training.progress import log_to
from gptlib.training.trainer import Trainer

Settings = tuple[str, Path | None, dict[str, Any]]  # name, file, options; see settings.resolve


def train_model(
    corpus_name: str | None,
    model_name: str,
    tokenizer_name: str | None,
    shape: dict[str, Any],
    settings: Settings,
    out: Path | None = None,
    resume: bool = False,
    max_minutes: float | None = None,
    data: Path | None = None,
) -> None:
    """Train a model of a named shape on a text or a prepared folder and keep the run.

    Everything that can be wrong is found before the folder is made. ``out`` must not exist yet,
    unless the run in it is to be resumed.
    """
    require(
        max_minutes is None or max_minutes > 0,
        f"max_minutes is {max_minutes}: it must be above 0",
    )
    started = time.monotonic()
    parallel.begin()
    with first_speaks():
        if out and out.exists() and not resume and parallel.rank() == 0:
            raise RunExists(f"{out} exists: go on with its run (--resume) or give another folder")
        if out is None and parallel.count() > 1:
            raise ConfigError("several processes need one folder for the run: give --out RUN")
        shape_of_model = GPTConfig.named(model_name, **shape)
        config, budget = resolve(*settings)
        profile = setup()
        train, validation, tokenizer, source = material_of(
            corpus_name, tokenizer_name, data, shape_of_model.context_length
        )
        vocabulary = {"vocab_size": tokenizer.vocab_size}
        model = GPT(
            GPTConfig.from_dict(shape_of_model.to_dict() | vocabulary), seed=config.seed
        ).to(profile.device)
        print(f"corpus   {source.name}: {len(train[0]):,} windows, {len(validation[0]):,} held out")
        print(f"model    {model_name}: {model.n_parameters():,} parameters")
        begun = out if resume else None
        config = with_steps(config, budget, model, train, begun)
        show(settings[0], config)
        folder = out or profile.new_run(Path(source.name).name)
        trainer = Trainer(model, train, validation, config, folder, tokenizer, source)
        print(f"format   {trainer.precision.reason}")
        with log_to(folder / "train.log") if parallel.rank() == 0 else silence() as report:
            trainer.report = report
            left = max_minutes and max_minutes - (time.monotonic() - started) / 60
            train_and_tell(trainer, folder, resume, left)
    parallel.end()


def train_and_tell(trainer: Trainer, folder: Path, resume: bool, minutes: float | None) -> None:
    """Train, and say how it ended and what to type next."""
    try:
        rows = trainer.train(resume=resume, max_minutes=minutes)
        if trainer.step < trainer.config.steps:
            print(f"stopped  the session's minutes are over after step {trainer.step}")
    except TrainingStopped as stop:
        print(f"\nstopped  {stop}")
        rows = trainer.run.log.rows
    step, loss = best_validation(rows)
    if loss is not None:
        print(f"best     validation loss {loss:.4f} at step {step}")
    done, steps = trainer.step, trainer.config.steps
    if trainer.resumed_step == steps:
        print(f"done     all {steps} steps were trained before: a longer run needs another --out")
    if done < steps:
        print(f"kept     step {done} of {steps}: the same command with --resume goes on")
    print(f'write    python -m gptlib generate --model "{folder}" --prompt "Once"')


def with_steps(
    config: TrainingConfig,
    budget: dict[str, float],
    model: GPT,
    train: Windows,
    begun: Path | None,
) -> TrainingConfig:
    """The settings with the steps that a budget pays for; a run begun before keeps its own."""
    if budget and begun and (begun / FILE_NAME).exists():
        return config.with_changes(steps=read_metrics(begun)[0]["training"]["steps"])
    seconds = seconds_per_step(config, model, train) if "minutes" in budget else None
    n_windows, context_length = train[0].shape
    return with_budget(config, budget, n_windows, context_length, seconds)


def show(name: str, config: TrainingConfig) -> None:
    """Print the settings as they came out."""
    shown = {
        field: f"{value:g}" if isinstance(value, float) else value
        for field, value in config.to_dict().items()
    }
    words = " · ".join(f"{field} {value}" for field, value in shown.items())
    print(textwrap.fill(f"settings {name}: {words}", 88, subsequent_indent=" " * 9))


@contextlib.contextmanager
def first_speaks() -> Iterator[None]:
    """Let only the first of several processes print."""
    if parallel.rank() == 0:
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


@contextlib.contextmanager
def silence() -> Iterator[Callable[[str], None]]:
    """In place of :func:`log_to` for processes that do not write."""
    yield lambda line: None
