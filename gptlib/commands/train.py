"""``train``: from names and numbers to a run."""

import contextlib
import os
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from gptlib.commands.inputs import load_text, open_model, quoted, refuse_choice
from gptlib.config import MODELS, GPTConfig, TrainingConfig, load_training_config, require, to_toml
from gptlib.data.corpora import Corpus
from gptlib.data.dataset import TokenDataset, encode_documents
from gptlib.data.prepare import PreparedCorpus, is_prepared, open_prepared
from gptlib.data.split import split_documents
from gptlib.environment import choose_device, setup
from gptlib.errors import ConfigError, FolderError, TextTooShort, TrainingStopped
from gptlib.model import GPT
from gptlib.tokenizer import CharacterTokenizer, Tokenizer, load_tokenizer
from gptlib.training import distributed
from gptlib.training.checkpoint import checkpoints
from gptlib.training.metrics import best_validation
from gptlib.training.optimizer import learning_rate_of
from gptlib.training.run import SETTINGS, log_to
from gptlib.training.trainer import Trainer


def train(
    text: str | None,
    data: str | None,
    model: str | None,
    init_from: str | None,
    tokenizer: str | None,
    shape: dict[str, Any],
    settings: str,
    config: Path | None,
    options: dict[str, Any],
    device: str | None,
    out: Path | None,
    resume: bool,
    max_minutes: float | None,
    print_settings: bool,
    **choice: Any,
) -> None:
    """Train a model on a text or a prepared folder and keep the run.

    Everything that can be wrong is found before the run's folder is made. For `text` and `choice`
    see :func:`load_text`, for `init_from` :func:`open_model`, for `settings`, `config` and
    `options` :func:`load_training_config`.
    """
    started = time.monotonic()
    training, budget = load_training_config(settings, config, options)
    if model and init_from:
        raise ConfigError(f"--model {model} is a new one, --init-from {init_from} is not: give one")
    if model and model not in MODELS and Path(model).is_dir():
        raise ConfigError(f"{model} is a folder of weights: begin with it by --init-from {model}")
    if print_settings:
        named = {} if init_from else GPTConfig.named(model or "laptop", **shape).to_dict()
        show(f"model {init_from or model or 'laptop'}", named, start="# ")
        print(f"# settings {settings}\n{to_toml(training, budget)}", end="")
        return
    if resume and out is None:
        raise ConfigError("--resume needs the folder of the run: give --out RUN")
    require(max_minutes is None or max_minutes > 0, f"--max-minutes {max_minutes} is not above 0")
    distributed.setup(choose_device(device)[0].type)
    with first_speaks():
        if out and out.exists() and not resume and distributed.rank() == 0:
            raise FolderError(f"{out} exists: go on with its run (--resume) or give another folder")
        if out is None and distributed.world_size() > 1:
            raise ConfigError("several processes need one folder for the run: give --out RUN")
        gpt, own, described = begun_model(init_from, shape)
        config_of_model = gpt.config if gpt else GPTConfig.named(model or "laptop", **shape)
        length = shape.get("context_length", config_of_model.context_length)
        profile = setup(device)
        material = load_material(text, data, tokenizer, own, length, **choice)
        vocabulary = {"vocab_size": material.tokenizer.vocab_size}
        if gpt is None:
            gpt = GPT(GPTConfig.from_dict(config_of_model.to_dict() | vocabulary), training.seed)
        check_tokens(init_from or "", gpt, own, material.tokenizer)
        n_windows, n_held_out = len(material.train), len(material.validation)
        print(f"corpus   {material.source.name}: {n_windows:,} windows, {n_held_out:,} held out")
        print(f"model    {described or model or 'laptop'}: {gpt.n_parameters():,} parameters")
        training = training.for_budget(budget, n_windows, length)
        if resume and out:
            training = extended(training, out)
        show(f"settings {settings}", training.to_dict())
        if training.warmup_steps > training.steps:
            peak = learning_rate_of(training.steps - 1, training)
            print(
                f"note     the warm-up of {training.warmup_steps:,} steps is longer than the run: "
                f"its peak is {peak:g}"
            )
        folder = out or profile.new_run(Path(material.source.name).name)
        trainer = Trainer(
            gpt.to(profile.device), material.train, material.validation, training, folder,
            material.tokenizer, material.source,
        )  # fmt: skip
        if init_from:
            trainer.run_info["began_with"] = Path(init_from).resolve().name
        print(f"format   {trainer.precision.reason}")
        with log_to(folder / "train.log") if distributed.rank() == 0 else silence() as report:
            trainer.report = report
            left = max_minutes and max_minutes - (time.monotonic() - started) / 60
            train_and_tell(trainer, folder, resume, left)
    distributed.cleanup()


class Material(NamedTuple):
    """Windows to train and to validate on, and where they are from."""

    train: TokenDataset
    validation: TokenDataset
    tokenizer: Tokenizer
    source: Corpus | PreparedCorpus


def load_material(
    text: str | None,
    data: str | None,
    tokenizer_name: str | None,
    own: Tokenizer | None,
    context_length: int,
    **choice: Any,
) -> Material:
    """What to train on: a text that is encoded in memory, or a prepared folder on the disk.

    Without `tokenizer_name` a text is read by the model's `own`, or by GPT-2's.
    """
    if text is not None and data is None and is_prepared(Path(text)):
        text, data = None, text
    if (text is None) == (data is None) or (data is not None and tokenizer_name is not None):
        raise ConfigError(
            "give either a text or --data FOLDER; a prepared folder holds its own tokenizer, "
            "so --tokenizer goes with a text alone"
        )
    if data is not None:
        refuse_choice(data, **choice)
        return of_prepared(open_prepared(data), context_length)
    corpus = load_text(text or "", **choice)
    if own is None or tokenizer_name is not None:
        own = choose_tokenizer(tokenizer_name or "gpt2", corpus)
    return of_text(corpus, own, context_length)


def of_prepared(prepared: PreparedCorpus, context_length: int) -> Material:
    """The windows of a prepared folder, left on the disk."""
    train, validation = (prepared.dataset(part, context_length) for part in ("train", "validation"))
    return Material(train, validation, prepared.tokenizer, prepared)


def of_text(corpus: Corpus, tokenizer: Tokenizer, context_length: int) -> Material:
    """The windows of a text, in memory."""
    train, validation = split_documents(corpus.documents)
    return Material(
        cut(f"training part of {corpus.name}", encode_documents(tokenizer, train), context_length),
        cut(
            f"held-out part of {corpus.name}",
            encode_documents(tokenizer, validation),
            context_length,
        ),
        tokenizer,
        corpus,
    )


def cut(part: str, ids: list[int], context_length: int) -> TokenDataset:
    """The windows of a part of a corpus; TextTooShort names the part and the option."""
    try:
        return TokenDataset(ids, context_length)
    except TextTooShort as problem:
        raise TextTooShort(f"the {part} is too short: {problem} (--context-length)") from problem


def choose_tokenizer(name: str, corpus: Corpus) -> Tokenizer:
    """The tokenizer ``gpt2``, ``characters`` of the corpus, or the one in a folder.

    An alphabet learns nothing about the held-out text; a character outside it could not be read.
    """
    return CharacterTokenizer.train(corpus.text) if name == "characters" else load_tokenizer(name)


def begun_model(
    name: str | None, shape: dict[str, Any]
) -> tuple[GPT | None, Tokenizer | None, str | None]:
    """The weights where training begins, their tokenizer and what they are; None for a new model.

    Options that ask for another shape are refused; windows may be shorter than the context.
    """
    if name is None:
        return None, None, None
    gpt, tokenizer, said = open_model(name, device="cpu", to_train=True)
    limit = gpt.config.context_length
    for option, value in shape.items():
        if option != "context_length" or value > limit:
            words = f"--{option.replace('_', '-')}"
            most = f", and reads {limit:,} tokens at most" if option == "context_length" else ""
            raise ConfigError(f"{name} has its own shape{most}: leave {words} {value} out")
    return gpt, tokenizer, said


def check_tokens(name: str, model: GPT, own: Tokenizer | None, tokenizer: Tokenizer) -> None:
    """Refuse a text whose ids mean something else to a model that was trained before."""
    require(
        own is None or own.fingerprint == tokenizer.fingerprint,
        f"the model in {name} reads tokens of {own and own.name}, not of {tokenizer.name}: leave "
        f"--tokenizer out and give a text, or one prepared with the model's own tokenizer",
    )
    require(
        model.config.vocab_size == tokenizer.vocab_size,
        f"the model in {name} knows {model.config.vocab_size:,} tokens, the tokenizer "
        f"{tokenizer.name} has {tokenizer.vocab_size:,}: give the one that it was trained with",
    )


def extended(config: TrainingConfig, run: Path) -> TrainingConfig:
    """Settings for more steps than a run was begun with: its rate falls as it was planned then.

    So what was trained stays valid: the outcome is that of a run planned in this way from its
    first step, bit for bit.
    """
    if config.schedule_steps or not (run / SETTINGS).is_file() or not checkpoints(run):
        return config
    before = load_training_config("fast", run / SETTINGS)[0]
    if config.steps < before.steps:
        return config
    planned = before.planned_steps
    longer = config.with_changes(schedule_steps=0 if planned == config.steps else planned)
    if config.steps > before.steps:
        rate = learning_rate_of(config.steps - 1, longer)
        print(
            f"longer   from {before.steps:,} to {config.steps:,} steps: the rate falls until step "
            f"{planned:,}, as was planned, and is {rate:g} at the end"
        )
    return longer


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
        print(
            f"done     all {steps} steps were trained before: --steps {2 * steps}, in place of "
            "--epochs or --tokens, goes on"
        )
    if done < steps:
        print(f"kept     step {done} of {steps}: the same command with --resume goes on")
    assert trainer.tokenizer
    words = trainer.tokenizer.decode(trainer.validation_data[0][0][:12].tolist()).split()
    prompt = quoted(" ".join(words[1:4]) or "Once")
    print(f"write    python -m gptlib generate --model {quoted(folder)} --prompt {prompt}")


def show(what: str, values: dict[str, Any], start: str = "") -> None:
    """Print a record as it came out."""
    words = (
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values.items()
    )
    text = f"{what}: {' · '.join(words)}"
    print(textwrap.fill(text, 88, initial_indent=start, subsequent_indent=start or " " * 9))


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
