"""What commands are given, by what names it: a text, a run, a model. One way for all of them."""

import io
import shlex
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from gptlib.config import SIZES, did_you_mean
from gptlib.data.corpora import (
    CORPORA,
    Corpus,
    CorpusSpec,
    beside,
    find_corpus,
    find_file,
    load_corpus,
)
from gptlib.environment import choose_device
from gptlib.errors import CheckpointError, ConfigError, CorpusError
from gptlib.model import GPT
from gptlib.pretrained.weights import CONFIG, RELEASES, import_model, load_openai
from gptlib.tokenizer import Tokenizer, load_tokenizer
from gptlib.training.checkpoint import MODEL, checkpoints, load_checkpoint, model_of, step_of
from gptlib.training.metrics import FILE_NAME, Row, best_validation, read_metrics

LAST = "last"


def load_text(
    name: str,
    separator: str | None = None,
    documents: int | None = None,
    language: str | None = None,
) -> Corpus:
    """A text in memory: see :func:`find_text`, and :func:`load_corpus` for `documents`."""
    if name == "-":
        spec = find_text(name, separator, language)
        return Corpus(spec.name, list(spec.stream(documents)), spec.source, spec.license)
    return load_corpus(name, None, check_text(name, separator), documents, language)


def find_text(name: str, separator: str | None = None, language: str | None = None) -> CorpusSpec:
    """A text by its name, the address of a data set, a file or folder, or - for standard input.

    Args:
        separator: what parts the documents of a .txt file; a typed ``\\n`` is a line end.
        language: of Wikipedia.

    Raises:
        CorpusError: no text has this name, or it cannot be read.
    """
    separator = check_text(name, separator)
    if name != "-" or language:
        return find_corpus(name, separator, language)
    text = standard_input()
    parts = [part for part in text.split(separator or "\0") if part.strip()]
    if not parts:
        raise CorpusError("standard input holds no text: pipe one in, or name one")
    whole = parts if separator else [text]
    return CorpusSpec(
        *("standard-input", "your own text"),
        origin="standard input",
        read=lambda: whole,
        fallback=None,
    )


def check_text(name: str, separator: str | None) -> str | None:
    """Refuse a name that no text has; returns the separator as it was meant."""
    path = Path(name)
    if name != "-" and name not in CORPORA and not name.startswith("hub:"):
        find_file(name, None)  # or what is said of the separator would hide the wrong name
    if separator is None:
        return None
    if not separator or not (name == "-" or path.is_dir() or path.suffix.lower() == ".txt"):
        raise ConfigError(
            f"--separator {separator!r} cannot part '{name}': it parts .txt files, and has a "
            f"character or more: mend it or leave it out"
        )
    return separator.replace("\\r\\n", "\n").replace("\\n", "\n")


def standard_input() -> str:
    """All of standard input, read as UTF-8; a byte-order mark is left out.

    Raises:
        CorpusError: it is closed, or no UTF-8.
    """
    if sys.stdin is None:
        raise CorpusError("standard input is closed: pipe a text in, or name one")
    if isinstance(sys.stdin, io.TextIOWrapper):
        # Windows pipes in an older code page, and a bare locale lets broken bytes through
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="strict")
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"standard input is not UTF-8 text (byte {error.object[error.start]:#04x}): "
            f"convert what you pipe in"
        ) from error


def open_model(
    name: str, checkpoint: str | None = None, device: str | None = None, to_train: bool = False
) -> tuple[GPT, Any, str]:
    """A model on its device, its tokenizer, and a line that says which one it is.

    Args:
        name: ``gpt2`` … ``gpt2-xl`` or a size, for OpenAI's weights; a run or one of its
            checkpoints; or a folder with ``config.json``, weights and tokenizer.
        checkpoint: of a run, see :func:`open_checkpoint`.
        device: ``cpu``, ``cuda`` or ``mps``; None for the best that works here.
        to_train: read all weights into memory; the tokenizer may be missing (None).
    """
    folder, where = Path(name), choose_device(device)[0]
    tokenizer: Tokenizer | None
    mapped = not to_train  # left on the disk until they are read
    released = SIZES.get(name, name) in RELEASES
    if checkpoint and (released or (folder / CONFIG).is_file()):
        raise ConfigError(f"{name} is no run: --checkpoint {checkpoint} has nothing to choose from")
    if released:
        model, tokenizer = load_openai(name, mapped=mapped), load_tokenizer("gpt2")
        said = f"OpenAI's {name}"
    elif (folder / CONFIG).is_file():
        model, tokenizer = import_model(folder, mapped=mapped)
        said = f"the weights in {name}"
    else:
        found, said = open_checkpoint(find_run(name, [*RELEASES, *SIZES]), checkpoint)
        model, tokenizer = model_of(found)
    if tokenizer is None and not to_train:
        raise CheckpointError(f"{name} holds no tokenizer: it reads no text: give one that does")
    return model.to(where), tokenizer, said


def open_checkpoint(run: Path, which: str | None = None) -> tuple[Any, str]:
    """A checkpoint of a run with its model alone, and a line that says which one it is.

    Args:
        run: its folder, or that of one checkpoint.
        which: ``best`` by validation loss, ``last`` that is intact, or the number of a step.

    Raises:
        CheckpointError: it is not there, or damaged.
    """
    kept = {step_of(folder): folder for folder in checkpoints(run)}
    metrics: list[Row] = []
    if kept and (run / FILE_NAME).is_file():
        with suppress(CheckpointError):  # a damaged log leaves the weights as they are
            metrics = read_metrics(run)
    best, loss = best_validation([row for row in metrics if row.get("step") in kept])
    folder, which = run, which or LAST
    if which != LAST:
        if not kept:
            raise CheckpointError(f"{run} is one checkpoint, or holds none: leave --checkpoint out")
        step = best if which == "best" else int(which) if which.isdecimal() else None
        if step not in kept:
            steps = ", ".join(map(str, kept))
            why = "no validation names a best one" if which == "best" else f"none is {which!r}"
            raise CheckpointError(
                f"{run} keeps the checkpoints of steps {steps}, {why}: give --checkpoint last, "
                f"best or one of these numbers"
            )
        folder = kept[step]
    found = load_checkpoint(folder, MODEL)
    step = found.state["step"]
    said = f"{run}, step {step}" + (f", the last of {len(kept)} kept" if folder is run else "")
    if best is not None and best != step:
        said += f"; validation was best at step {best} ({loss:.2f}): --checkpoint best"
    return found, said


def find_run(name: str | Path, others: Iterable[str] = ()) -> Path:
    """The folder of a run; CheckpointError says that it is missing and which one is near."""
    folder = Path(name)
    if not folder.is_dir():
        raise CheckpointError(
            f"no run in {name}: train one first (python -m gptlib train)"
            + (f", give a folder with a {CONFIG}, or one of {', '.join(others)}" if others else "")
            + did_you_mean(str(name), [*others, *beside(folder)])
        )
    return folder


def refuse_choice(folder: str, **choice: Any) -> None:
    """Refuse options that choose of a text where a prepared folder stands in its place."""
    if given := [f"--{name}" for name, value in choice.items() if value is not None]:
        raise ConfigError(f"{folder} is a prepared folder, read whole: leave {given[0]} out")


def quoted(path: str | Path) -> str:
    """A path as it is typed: in the quotes that every shell knows, if it has no sign in it that
    they let a shell read."""
    return shlex.quote(str(path)) if set('"$`!') & set(str(path)) else f'"{path}"'
