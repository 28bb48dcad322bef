"""What is trained on: a text that is encoded in memory, or a prepared folder on the disk."""

from pathlib import Path
from typing import NamedTuple

from gptlib.data.corpora import Corpus, load_corpus
from gptlib.data.dataset import TokenDataset, encode_documents
from gptlib.data.prepared import Prepared, is_prepared, open_prepared
from gptlib.data.split import split
from gptlib.errors import ConfigError, TextTooShort
from gptlib.tokenizer import CharacterTokenizer, Tokenizer, load_tokenizer


class Material(NamedTuple):
    """Windows to train and to validate on, and where they are from."""

    train: TokenDataset
    validation: TokenDataset
    tokenizer: Tokenizer
    source: Corpus | Prepared


def material_of(
    corpus_name: str | None,
    tokenizer_name: str | None,
    data: Path | None,
    context_length: int,
    models_own: Tokenizer | None = None,
) -> Material:
    """The material that the options of ``train`` name.

    Args:
        corpus_name: of a text; None where `data` is given.
        tokenizer_name: for the text, see :func:`choose_tokenizer`; None is the model's own, and
            GPT-2's where it has none.
        data: a prepared folder, which holds its own tokenizer.
        context_length: T of the windows.
        models_own: what a model that was trained before reads.

    Raises:
        ConfigError: a text and a folder are given, or neither, or a tokenizer for the folder, or
            the folder as a text.
    """
    if data is not None and (corpus_name, tokenizer_name) == (None, None):
        return of_prepared(open_prepared(data), context_length)
    if corpus_name is None or data is not None:
        raise ConfigError(
            "give either a text or --data FOLDER; a prepared folder holds its own tokenizer, "
            "so --tokenizer goes with a text alone"
        )
    if is_prepared(Path(corpus_name)):  # its merges.txt would pass for a text
        raise ConfigError(f'{corpus_name} is a prepared folder: give it as --data "{corpus_name}"')
    corpus = load_corpus(corpus_name)
    if models_own and tokenizer_name is None:
        return of_text(corpus, models_own, context_length)
    return of_text(corpus, choose_tokenizer(tokenizer_name or "gpt2", corpus), context_length)


def of_prepared(prepared: Prepared, context_length: int) -> Material:
    """The windows of a prepared folder, left on the disk."""
    train, validation = (prepared.dataset(part, context_length) for part in ("train", "validation"))
    return Material(train, validation, prepared.tokenizer, prepared)


def of_text(corpus: Corpus, tokenizer: Tokenizer, context_length: int) -> Material:
    """The windows of a text, in memory."""
    train, validation = (
        cut(corpus, part, encode_documents(tokenizer, documents), context_length)
        for part, documents in zip(("training", "held-out"), split(corpus), strict=True)
    )
    return Material(train, validation, tokenizer, corpus)


def cut(corpus: Corpus, part: str, ids: list[int], context_length: int) -> TokenDataset:
    """Return the windows of one part of a corpus; TextTooShort names the part and the option."""
    try:
        return TokenDataset(ids, context_length)
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
