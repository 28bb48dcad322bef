"""What ``train`` and ``generate`` do, from names and numbers to a run or a text."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gptlib.config import GPTConfig, TrainingConfig
from gptlib.data.corpora import Corpus, load_corpus
from gptlib.data.split import split
from gptlib.data.windows import encode_documents, windows
from gptlib.environment import choose_device, setup
from gptlib.errors import CheckpointError, RunExists, TextTooShort
from gptlib.generation import generate_text, stream_text
from gptlib.model import GPT
from gptlib.tokenizer import CharacterTokenizer, Tokenizer, load_tokenizer
from gptlib.training.checkpoint import checkpoints, load_model, step_of
from gptlib.training.metrics import best_validation
from gptlib.training.progress import log_to
from gptlib.training.step import Windows
from gptlib.training.trainer import Trainer


def train_model(
    corpus_name: str,
    model_name: str,
    tokenizer_name: str,
    context_length: int | None,
    training: TrainingConfig,
    out: Path | None = None,
    resume: bool = False,
) -> Path:
    """Train a model of a named shape on a corpus and keep the run; return its folder.

    Everything that can be wrong is found before the folder is made. ``out`` must not exist yet,
    unless the run in it is to be resumed.
    """
    if out and out.exists() and not resume:
        raise RunExists(f"{out} exists: go on with its run (--resume) or give another folder")
    changes = {} if context_length is None else {"context_length": context_length}
    config = GPTConfig.named(model_name, **changes)
    profile = setup()
    corpus = load_corpus(corpus_name)
    tokenizer = choose_tokenizer(tokenizer_name, corpus)
    train, validation = (
        cut(corpus, part, encode_documents(tokenizer, documents), config.context_length)
        for part, documents in zip(("training", "held-out"), split(corpus), strict=True)
    )
    config = GPTConfig.from_dict({**config.to_dict(), "vocab_size": tokenizer.vocab_size})
    model = GPT(config, seed=training.seed).to(profile.device)
    print(f"corpus   {corpus.name}: {len(train[0]):,} windows, {len(validation[0]):,} held out")
    print(f"model    {model_name}: {model.n_parameters():,} parameters")
    folder = out or profile.new_run(corpus.name)
    settings: dict[str, Any] = {"tokenizer": tokenizer, "corpus": corpus}
    with log_to(folder / "train.log") as report:
        trainer = Trainer(model, train, validation, training, folder, report=report, **settings)
        try:
            step, loss = best_validation(trainer.train(resume=resume))
        except KeyboardInterrupt:
            kept = [f"step {step_of(checkpoint)}" for checkpoint in checkpoints(folder)]
            print(f"\nstopped  at step {trainer.step}, kept: {(kept or ['no checkpoint'])[-1]}")
            raise
    print(f"best     validation loss {loss:.4f} at step {step}")
    return folder


def cut(corpus: Corpus, part: str, ids: list[int], context_length: int) -> Windows:
    """Return the windows of one part of a corpus; TextTooShort names the part and the option."""
    try:
        return windows(ids, context_length)
    except TextTooShort as problem:
        raise TextTooShort(
            f"the {part} part of {corpus.name} is too short: {problem} (--context-length)"
        ) from problem


def choose_tokenizer(name: str, corpus: Corpus) -> Tokenizer:
    """Return the tokenizer ``gpt2``, ``characters`` of the corpus, or the one in a folder.

    An alphabet learns nothing about the held-out text; a character outside it could not be read.
    """
    if name == "characters":
        return CharacterTokenizer.train(corpus.text)
    return load_tokenizer(name)


def write_text(model_folder: Path, prompt: str, n: int, **settings: Any) -> list[str]:
    """Return ``n`` continuations of ``prompt`` by the model of a run, the prompt included."""
    return generate_text(*trained(model_folder), prompt, n_sequences=n, **settings)


def write_pieces(model_folder: Path, prompt: str, **settings: Any) -> Iterator[str]:
    """Yield the continuation of ``prompt`` piece by piece, whole characters only."""
    yield from stream_text(*trained(model_folder), prompt, **settings)


def trained(folder: Path) -> tuple[GPT, Tokenizer]:
    """Return a run's model, on the best device that works here, and its tokenizer."""
    if not folder.is_dir():
        raise CheckpointError(f"no run in {folder}: train one first (python -m gptlib train)")
    model, tokenizer = load_model(folder)
    if tokenizer is None:
        raise CheckpointError(f"{folder} was trained without a tokenizer: it can write no text")
    device, _ = choose_device()
    return model.to(device), tokenizer
