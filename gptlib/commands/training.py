"""What ``train`` does: from names and numbers to a run."""

import contextlib
import os
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gptlib.commands.material import material_of
from gptlib.config import MODELS, SIZES, GPTConfig, TrainingConfig, require
from gptlib.environment import setup
from gptlib.errors import ConfigError, FolderError, TrainingStopped
from gptlib.model import GPT
from gptlib.pretrained.weights import import_model
from gptlib.settings import resolve, with_budget
from gptlib.tokenizer import Tokenizer
from gptlib.training import distributed
from gptlib.training.metrics import best_validation
from gptlib.training.run import log_to
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
    """Train a model on a text or a prepared folder and keep the run.

    The model is new and of a named shape, or goes on from a Hugging Face folder's weights.
    Everything that can be wrong is found before the folder is made. ``out`` must not exist yet,
    unless the run in it is to be resumed.
    """
    require(
        max_minutes is None or max_minutes > 0,
        f"max_minutes is {max_minutes}: it must be above 0",
    )
    started = time.monotonic()
    distributed.setup()
    with first_speaks():
        if out and out.exists() and not resume and distributed.rank() == 0:
            raise FolderError(f"{out} exists: go on with its run (--resume) or give another folder")
        if out is None and distributed.world_size() > 1:
            raise ConfigError("several processes need one folder for the run: give --out RUN")
        begun, own = begun_model(model_name, shape)
        shape_of_model = begun.config if begun else GPTConfig.named(model_name, **shape)
        config, budget = resolve(*settings)
        profile = setup()
        train, validation, tokenizer, source = material_of(
            corpus_name, tokenizer_name, data, shape_of_model.context_length, own
        )
        if begun:
            check_tokens(model_name, begun, own, tokenizer)
        vocabulary = {"vocab_size": tokenizer.vocab_size}
        model = begun or GPT(
            GPTConfig.from_dict(shape_of_model.to_dict() | vocabulary), seed=config.seed
        )
        model = model.to(profile.device)
        print(f"corpus   {source.name}: {len(train):,} windows, {len(validation):,} held out")
        print(f"model    {model_name}: {model.n_parameters():,} parameters")
        config = with_budget(config, budget, len(train), train.context_length)
        show(settings[0], config)
        folder = out or profile.new_run(Path(source.name).name)
        trainer = Trainer(model, train, validation, config, folder, tokenizer, source)
        if begun:
            trainer.run_info["began_with"] = Path(model_name).resolve().name
        print(f"format   {trainer.precision.reason}")
        with log_to(folder / "train.log") if distributed.rank() == 0 else silence() as report:
            trainer.report = report
            left = max_minutes and max_minutes - (time.monotonic() - started) / 60
            train_and_tell(trainer, folder, resume, left)
    distributed.cleanup()


def begun_model(name: str, shape: dict[str, Any]) -> tuple[GPT | None, Tokenizer | None]:
    """The model and the tokenizer of a Hugging Face folder; None where `name` is that of a shape.

    Raises:
        PretrainedError: the folder holds no model that is ours, or a damaged one.
        ConfigError: options ask for another shape.
    """
    if name in MODELS or name in SIZES or not Path(name).is_dir():
        return None, None
    for option in shape:
        raise ConfigError(
            f"the model in {name} has its shape: leave --{option.replace('_', '-')} out"
        )
    return import_model(name)


def check_tokens(name: str, model: GPT, own: Tokenizer | None, tokenizer: Tokenizer) -> None:
    """Refuse a text whose ids mean something else to a model that was trained before."""
    if own:
        require(
            own.fingerprint == tokenizer.fingerprint,
            f"the model in {name} reads tokens of {own.name}, not of {tokenizer.name}: leave "
            f"--tokenizer out and give a text, or one prepared with the model's own tokenizer",
        )
    known = model.config.vocab_size
    require(
        known == tokenizer.vocab_size,
        f"the model in {name} knows {known:,} tokens, the tokenizer {tokenizer.name} has "
        f"{tokenizer.vocab_size:,}: give the one that the model was trained with (--tokenizer)",
    )


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
    if distributed.rank() == 0:
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


@contextlib.contextmanager
def silence() -> Iterator[Callable[[str], None]]:
    """In place of :func:`log_to` for processes that do not write."""
    yield lambda line: None
