"""A run, repeated with three seeds, becomes a recording: ``python -m gptcourse record``."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from gptcourse import paths
from gptcourse.reference_runs.recording import load_recording, recording_of, save
from gptlib.commands.train import Material, choose_tokenizer, of_prepared, of_text
from gptlib.config import GPTConfig, TrainingConfig
from gptlib.data.corpora import load_corpus
from gptlib.data.prepare import PreparedCorpus, is_prepared, open_prepared
from gptlib.environment import choose_device
from gptlib.errors import ConfigError
from gptlib.model import GPT
from gptlib.training.metrics import FILE_NAME, Row, read_metrics, tokens_per_step
from gptlib.training.trainer import Trainer

SEEDS = 3
UNSEEN = {"sample_every": 0, "checkpoint_every": 0, "log_layers_every": 0}  # moves no curve


def record_run(source: str, name: str, replace: bool = False) -> Path:
    """Repeat what a run did with its own seed and the next two, and keep the curves.

    A seed decides the first parameters and the order of the windows. `source` is a run's folder,
    or a recording by name or path. Nothing is written before all runs have ended; returns the
    recording's file. Raises ConfigError when `name` is no file name or taken (`replace` overwrites
    it), or the source's text or tokenizer is not to be had.
    """
    path = paths.RECORDINGS / f"{name}.json"
    if not name or Path(name).name != name:
        raise ConfigError(f"{name!r} cannot name a recording: give a name such as 05-my-run")
    if path.exists() and not replace:
        raise ConfigError(f"a recording {name!r} exists: give another name, or --replace")
    if Path(source, FILE_NAME).is_file():
        rows = read_metrics(source)
        about = {**rows[0], "tokens_per_step": tokens_per_step(rows)}
    else:
        about = asdict(load_recording(source))
    material = material_of(about, source)
    model = GPTConfig.from_dict(about["model"])
    config = TrainingConfig.from_dict(about["training"])
    runs = []
    for seed in range(config.seed, config.seed + SEEDS):
        text = material.source.name
        print(f"run      {model.n_layers} blocks on {text}, seed {seed}", flush=True)
        runs.append(repeat(model, config.with_changes(seed=seed, **UNSEEN), material))
    save(recording_of(runs), path)
    return path


def material_of(about: dict[str, Any], source: str) -> Material:
    """The windows that the source was trained on: of the very same text."""
    if not (named := about.get("corpus")):
        raise ConfigError(f"{source} does not say on which text it was trained: give another")
    path = Path(named["name"])
    corpus = open_prepared(path) if is_prepared(path) else load_corpus(named["name"])
    if corpus.fingerprint != named["fingerprint"]:
        raise ConfigError(
            f"{corpus.name} is not the text that {source} was trained on, {named['name']}: get "
            f"that very text, or train a run on this one and record that"
        )
    windows = about["training"]["batch_size"] * about["training"]["accumulation"]
    length = about["tokens_per_step"] // windows
    if isinstance(corpus, PreparedCorpus):
        return of_prepared(corpus, length)
    tokenizer = str(about.get("tokenizer"))
    if (folder := Path(source, "tokenizer")).is_dir():
        tokenizer = str(folder)
    elif tokenizer not in ("gpt2", "characters"):
        raise ConfigError(
            f"{source} was trained with the tokenizer {tokenizer}, which it does not hold: give "
            f"the folder of a run, which does"
        )
    return of_text(corpus, choose_tokenizer(tokenizer, corpus), length)


def repeat(model: GPTConfig, config: TrainingConfig, material: Material) -> list[Row]:
    """One run from the first parameters to the last step, kept in memory alone."""
    fresh = GPT(model, seed=config.seed).to(choose_device()[0])
    train, validation, tokenizer, source = material
    return Trainer(fresh, train, validation, config, None, tokenizer, source).train()
