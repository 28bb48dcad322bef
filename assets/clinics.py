"""Records the runs of the two clinics. It names the hidden faults: solve the exercises first.

Run it after a change of the trainer: ``python assets/clinics.py`` writes ``clinic-05.json`` and
``clinic-09.json`` in ``recordings/`` beside this file, in about two minutes.

Losses and norms come out the same each time on one machine. Speeds vary, so three things keep
what else the machine does out of them: one thread, whose own seconds are counted; runs that take
their steps in turn; and of `TRIES` repetitions the best.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor

from gptcourse.exercises.clinic import Clinic, save
from gptlib.config import GPTConfig, TrainingConfig
from gptlib.data.corpora import load_corpus
from gptlib.data.dataset import TokenDataset
from gptlib.data.split import split_documents
from gptlib.model import GPT
from gptlib.tokenizer import CharacterTokenizer
from gptlib.training import trainer
from gptlib.training.metrics import Row, curve
from gptlib.training.step import training_step

T, TRIES = 32, 3
FOLDER = Path(__file__).parent / "recordings"
corpus = load_corpus("sample-story")
training_text, validation_text = (documents[0] for documents in split_documents(corpus.documents))
alphabet = CharacterTokenizer.train(corpus.text)
TRAIN = TokenDataset(alphabet.encode(training_text), T)
VALIDATION = TokenDataset(alphabet.encode(validation_text), T).subset(range(32))
MODEL = GPTConfig(
    vocab_size=alphabet.vocab_size, context_length=T, n_layers=2, n_heads=4, width=64, dropout=0.0
)
SETTINGS = TrainingConfig(
    steps=120, batch_size=16, learning_rate=2e-3, min_learning_rate=2e-4, warmup_steps=20,
    evaluate_every=10, seed=3,
)  # fmt: skip
GENTLER = {"batch_size": 4, "accumulation": 4, "learning_rate": 1e-3, "min_learning_rate": 1e-4}

Step = Callable[..., Row]


class Run:
    """One run; subclasses plant a fault in it."""

    texts = TRAIN, VALIDATION  # what is trained on, and what is held out
    step: Step = staticmethod(training_step)

    def __init__(self, settings: TrainingConfig) -> None:
        model = GPT(MODEL, seed=settings.seed)
        self.trainer = trainer.Trainer(
            model, *self.texts, settings, tokenizer=alphabet, corpus=corpus
        )

    def go_on(self, until: int) -> list[Row]:
        """Train up to a step; returns all rows."""
        watch = patch("time.perf_counter", time.process_time)
        with watch, patch.object(trainer, "training_step", self.step):
            return self.trainer.train(until=until)


class Copied(TokenDataset):
    """Windows whose targets are their inputs."""

    def __getitem__(self, rows: int | slice | Iterable[int]) -> tuple[Tensor, Tensor]:
        x, _ = super().__getitem__(rows)
        return x, x


class CopiedTargets(Run):
    """y = x, in training and in validation."""

    texts = (
        Copied(alphabet.encode(training_text), T),
        Copied(alphabet.encode(validation_text), T).subset(range(32)),
    )


def four(text: TokenDataset) -> TokenDataset:
    """One batch of a text: its first four windows, each four times."""
    return text.subset([0, 1, 2, 3] * 4)


class OneBatch(Run):
    """Every step sees the same batch."""

    texts = four(TRAIN), VALIDATION


class LearnedValidation(Run):
    """One batch of the held-out text is all that is trained on."""

    texts = four(VALIDATION), four(VALIDATION)


def halved_loss(*arguments) -> Row:
    """A step whose logged loss is divided by two."""
    row = training_step(*arguments)
    return {**row, "loss": row["loss"] / 2}


class HalvedLoss(Run):
    """The log is wrong, and nothing else."""

    step = staticmethod(halved_loss)


def summed_gradients(model, optimizer, micro_batches, rate, limit, precision, seeds) -> Row:
    """A step that adds the micro-batches' gradients and forgets to take their mean."""
    count = len(micro_batches)
    with patch.object(precision.scaler, "scale", lambda loss: count * loss):  # takes it back
        return training_step(model, optimizer, micro_batches, rate, limit, precision, seeds)


def summed_losses(model, optimizer, micro_batches, *others) -> Row:
    """The same, and the logged loss is a sum as well."""
    row = summed_gradients(model, optimizer, micro_batches, *others)
    return {**row, "loss": row["loss"] * len(micro_batches)}


class SummedGradients(Run):
    """Accumulated gradients are not divided; the log is right."""

    step = staticmethod(summed_gradients)


class SummedLosses(Run):
    """Neither gradients nor the logged loss are divided."""

    step = staticmethod(summed_losses)


def recorded(kinds: list[tuple[type[Run], TrainingConfig]]) -> list[list[Row]]:
    """Rows of some runs that took their steps in turn."""
    fastest: list[list[float]] = []
    for _ in range(TRIES):
        runs = [kind(settings) for kind, settings in kinds]
        for step in range(SETTINGS.steps):
            for run in runs:
                run.go_on(until=step + 1)
        rows = [run.go_on(until=SETTINGS.steps) for run in runs]
        speeds = [curve(some, "tokens_per_second")[1] for some in rows]
        fastest = [
            [max(pair) for pair in zip(old, new, strict=True)]
            for old, new in zip(fastest or speeds, speeds, strict=True)
        ]
    for some, speed in zip(rows, fastest, strict=True):
        updates = [row for row in some if "loss" in row]
        for row, fast in zip(updates, speed, strict=True):
            row["tokens_per_second"] = fast
    return rows


def clinic(settings: TrainingConfig, fault: type[Run], *decoys: type[Run]) -> Clinic:
    """The run with a fault, a healthy one, and others to try a rule on, some with other faults."""
    again = settings.with_changes(seed=settings.seed + 1)
    run, healthy, *others = recorded(
        [(fault, settings), (Run, settings), (fault, again), (Run, again)]
        + [(decoy, settings) for decoy in decoys]
    )
    names = ("corpus", "tokenizer", "model", "training", "device", "dtype")
    about = {name: healthy[0][name] for name in names} | {"torch": torch.__version__}
    return Clinic(about, run, healthy, [(rows, rows is others[0]) for rows in others])


if __name__ == "__main__":
    torch.set_num_threads(1)
    copied = clinic(SETTINGS, CopiedTargets, OneBatch, LearnedValidation, HalvedLoss)
    save(copied, FOLDER / "clinic-05.json")
    calm = SETTINGS.with_changes(**GENTLER, seed=1)
    save(clinic(calm, SummedGradients, SummedLosses), FOLDER / "clinic-09.json")
