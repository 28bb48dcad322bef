"""What ``prepare`` does: from names and numbers to a prepared folder."""

import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gptlib.commands.inspecting import lines_about
from gptlib.data.cleaning import Cleaner, darija_cleaner, text_cleaner
from gptlib.data.corpora import find_corpus
from gptlib.data.prepare import check_choices, is_prepared, prepare
from gptlib.errors import ConfigError
from gptlib.files import check_absent
from gptlib.tokenizer import Tokenizer, load_tokenizer

DARIJA_ONLY = ("arabizi", "least_arabic")


@dataclass(frozen=True)
class Cleaning:
    """A cleaner by name, and the arguments that differ from its own."""

    name: str  # none, text or darija
    given: dict[str, Any]

    def cleaner(self) -> Cleaner | None:
        """Make it.

        Raises:
            ConfigError: an argument that this cleaner has not, or that allows nothing.
        """
        foreign = [name for name in self.given if self.name == "none" or name in DARIJA_ONLY]
        if foreign and self.name != "darija":
            option = "--no-arabizi" if foreign[0] == "arabizi" else f"--{foreign[0]}"
            others = "darija" if foreign[0] in DARIJA_ONLY else "text or --clean darija"
            raise ConfigError(
                f"{option.replace('_', '-')} does nothing with --clean {self.name}: "
                f"give --clean {others}, or leave it out"
            )
        makers = {"none": None, "text": text_cleaner, "darija": darija_cleaner}
        maker = makers[self.name]
        return maker(**self.given) if maker else None


def prepare_corpus(
    corpus_name: str,
    out: Path,
    choice: dict[str, Any],
    cleaning: Cleaning,
    tokenizer: str | None,
    vocab_size: int | None,
    splitting: dict[str, Any],
) -> None:
    """Prepare a corpus and tell what became of it.

    Args:
        corpus_name: a name, an address or a path.
        out: the new folder.
        choice: what of the corpus to read, see :func:`gptlib.data.corpora.stream_corpus`.
        cleaning: how to clean it.
        tokenizer: gpt2 or a folder; None for `vocab_size`, and gpt2 without it.
        vocab_size: tokens of a vocabulary to train.
        splitting: the other arguments of :func:`gptlib.data.prepare.prepare`.
    """
    started = time.monotonic()
    check_absent(out)
    if is_prepared(Path(corpus_name)):  # its merges.txt would pass for a text
        raise ConfigError(
            f"{corpus_name} is a prepared folder: give the corpus that it was made of, "
            f"or train on it with --data"
        )
    cleaner = cleaning.cleaner()
    chosen = choose_tokenizer(tokenizer, vocab_size)
    check_choices(chosen, splitting["n_shards"], splitting["drop_shared"])
    separator = line_ends(choice["separator"], corpus_name)
    spec = find_corpus(corpus_name, separator, choice["language"])
    documents = spec.stream(choice["documents"])
    index, report = prepare(documents, out, chosen, cleaner, source=str(spec), **splitting)
    if cleaner:
        print(cleaner.report.table(), end="\n\n")
    print("\n".join(lines_about(index, report)))
    print(f"took     {time.monotonic() - started:,.0f} s")
    print(f"look     python -m gptlib inspect {quoted(out)}")
    print(f"train    python -m gptlib train --data {quoted(out)}")


def quoted(path: Path) -> str:
    """A path as it is typed: in the quotes that every shell knows, if it has no sign in it that
    they let a shell read."""
    return shlex.quote(str(path)) if set('"$`!') & set(str(path)) else f'"{path}"'


def choose_tokenizer(name: str | None, vocab_size: int | None) -> Tokenizer | int:
    """A tokenizer, or the size of the one to train."""
    if name is not None and vocab_size is not None:
        raise ConfigError(
            f"--tokenizer {name} and --vocab-size {vocab_size} say two things: give one of them"
        )
    return load_tokenizer(name or "gpt2") if vocab_size is None else vocab_size


def line_ends(separator: str | None, corpus_name: str) -> str | None:
    """A separator as it was meant: the two characters that a shell lets through are a line end."""
    if separator is None:
        return None
    path = Path(corpus_name)
    if not separator or not (path.is_dir() or path.suffix.lower() == ".txt"):
        raise ConfigError(
            f"--separator {separator!r} cannot part {corpus_name!r}: it parts .txt files, "
            f"and has a character or more: mend it or leave it out"
        )
    return separator.replace("\\r\\n", "\n").replace("\\n", "\n")
