"""What ``record`` does: a run, repeated with three seeds, becomes a recording."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from gptcourse import paths
from gptcourse.reference_runs.recording import load_recording, recording_of, save
from gptlib.commands.train import Material, choose_tokenizer, of_prepared, of_text
from gptlib.config import GPTConfig, TrainingConfig, require
from gptlib.data.corpora import Corpus, load_corpus
from gptlib.data.prepared import SHARDS, Prepared, open_prepared
from gptlib.environment import choose_device
from gptlib.errors import ConfigError
from gptlib.model import GPT
from gptlib.tokenizer import Tokenizer
from gptlib.training.metrics import FILE_NAME, Row, read_metrics, tokens_per_step
from gptlib.training.trainer import Trainer

SEEDS = 3
UNSEEN = {"sample_every": 0, "checkpoint_every": 0, "layers_every": 0}  # moves no curve


def record_run(
    source: str,
    name: str,
    corpus_name: str | None = None,
    tokenizer_name: str | None = None,
    replace: bool = False,
) -> Path:
    """Repeat what a run did with its own seed and the next two, and keep the curves.

    A seed decides the first parameters and the order of the windows. Nothing is written before
    all runs have ended.

    Args:
        source: a run's folder, or a recording by name or path.
        name: of the new recording.
        corpus_name: train on this text. Left out: on the one that `source` names.
        tokenizer_name: see :func:`choose_tokenizer`. Left out: the source's own.
        replace: overwrite a recording of that name, which others may be judged by already.

    Returns:
        The recording's file.

    Raises:
        ConfigError: `name` is no file name or taken, or the source's text or tokenizer is not to
            be had.
    """
    path = file_of(name, replace)
    about = settings_of(source)
    material = material_for(about, source, corpus_name, tokenizer_name)
    model, training = (
        GPTConfig.from_dict(about["model"]),
        TrainingConfig.from_dict(about["training"]),
    )
    if material.tokenizer.name == "characters":  # as many as this text has
        vocabulary = {"vocab_size": material.tokenizer.vocab_size}
        model = GPTConfig.from_dict(model.to_dict() | vocabulary)
    runs = []
    for seed in range(training.seed, training.seed + SEEDS):
        print(
            f"run      {model.n_layers} blocks on {material.source.name}, seed {seed}", flush=True
        )
        config = training.with_changes(seed=seed, **UNSEEN)
        runs.append(repeat(model, config, material))
    save(recording_of(runs), path)
    return path


def file_of(name: str, replace: bool) -> Path:
    """The file of a recording that will be written."""
    if not name or Path(name).name != name:
        raise ConfigError(f"{name!r} cannot name a recording: give a name such as 05-my-run")
    path = paths.RECORDINGS / f"{name}.json"
    if path.exists() and not replace:
        raise ConfigError(f"a recording {name!r} exists: give another name, or --replace")
    return path


def repeat(model: GPTConfig, config: TrainingConfig, material: Material) -> list[Row]:
    """One run from the first parameters to the last step, kept in memory alone."""
    fresh = GPT(model, seed=config.seed).to(choose_device()[0])
    train, validation, tokenizer, source = material
    return Trainer(fresh, train, validation, config, None, tokenizer, source).train()


def settings_of(source: str) -> dict[str, Any]:
    """What a run or a recording says about its settings, and T, the length of its windows."""
    if Path(source, FILE_NAME).is_file():
        rows = read_metrics(source)
        about = {**rows[0], "tokens_per_step": tokens_per_step(rows)}
    else:
        about = asdict(load_recording(source))
    windows = about["training"]["batch_size"] * about["training"]["accumulation"]
    return {**about, "context_length": about["tokens_per_step"] // windows}


def material_for(
    about: dict[str, Any], source: str, corpus_name: str | None, tokenizer_name: str | None
) -> Material:
    """The windows to train on: those of the text or prepared folder that `source` names."""
    corpus = corpus_of(about, source, corpus_name)
    if isinstance(corpus, Corpus):
        tokenizer = tokenizer_of(about, source, corpus, tokenizer_name)
        return of_text(corpus, tokenizer, about["context_length"])
    require(tokenizer_name is None, f"{corpus.name} holds its own tokenizer: leave --tokenizer out")
    return of_prepared(corpus, about["context_length"])


def corpus_of(about: dict[str, Any], source: str, name: str | None) -> Corpus | Prepared:
    """What to train on; the source's own must be the very same."""
    if name is not None:
        return load_corpus(name)
    named = about.get("corpus")
    if not named:
        raise ConfigError(f"{source} does not say on which text it was trained: give --corpus")
    prepared = Path(named["name"], SHARDS).is_dir()
    corpus = open_prepared(named["name"]) if prepared else load_corpus(named["name"])
    if corpus.fingerprint != named["fingerprint"]:
        raise ConfigError(
            f"{corpus.name} is not the text that {source} was trained on, {named['name']}: "
            f"get that very text, or choose one with --corpus"
        )
    return corpus


def tokenizer_of(about: dict[str, Any], source: str, corpus: Corpus, name: str | None) -> Tokenizer:
    """The tokenizer to train with: the one named, or the source's."""
    name = name or about.get("tokenizer")
    if name in ("gpt2", "characters"):
        return choose_tokenizer(name, corpus)
    folder = Path(source, "tokenizer")
    if folder.is_dir():
        return choose_tokenizer(str(folder), corpus)
    if name is None or not Path(name).is_dir():
        raise ConfigError(
            f"{source} was trained with the tokenizer {name}: give it with --tokenizer, as gpt2, "
            f"characters, or a folder that holds it"
        )
    return choose_tokenizer(name, corpus)
