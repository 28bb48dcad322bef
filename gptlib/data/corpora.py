"""Texts by name or by path, and what to do when one cannot be had.

Facts and licences of every named corpus stand in ``data/README.md``.
"""

import importlib
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from gptlib import environment
from gptlib.data import hub, hub_texts
from gptlib.data.corpus import Corpus, CorpusStream, Entry
from gptlib.data.reading import read_documents, stream_documents
from gptlib.errors import CorpusError, CorpusUnavailable, DownloadError
from gptlib.files import download, sha256_of

THE_VERDICT_URL = (
    "https://raw.githubusercontent.com/rasbt/LLMs-from-scratch/main/"
    "ch02/01_main-chapter-code/the-verdict.txt"
)
THE_VERDICT_SHA256 = "b41e41a68f0398a3154ae69e2e4c0e2694e17fe0d66730536837f1b01935b31f"


def load_corpus(
    name: str | Path,
    fallback: str | None = None,
    separator: str | None = None,
    documents: int | None = None,
    language: str | None = None,
) -> Corpus:
    """Read a corpus by its name, or a file or folder of your own, into memory.

    With ``GPTLIB_CORPORA=bundled`` a corpus that does not come with the course is replaced by
    the bundled sample that stands in for it, which one printed line says.

    Args:
        name: a key of `CORPORA` or `hub_texts.NAMED`, an address as `hub_texts.FORM` shows, or
            the path of a .txt, .jsonl or .parquet file or of a folder of these.
        fallback: the corpus to go on with where `name` is neither stored here nor reachable.
        separator: what parts the documents of a .txt file; without it a file is one document.
        documents: how many to read, from the first; None for all.
        language: of Wikipedia, such as ``ar``.

    Raises:
        CorpusUnavailable: `name` is known, but neither stored here nor reachable.
        CorpusError: `name` is unknown, or a file cannot be read as text.
    """
    check_choices(name, documents)
    text = hub_texts.hub_text(str(name), language)
    if text is None and str(name) not in CORPORA:
        own = local_corpus(Path(name), separator, documents)
        return Corpus(own.name, list(own.documents), own.source, own.licence)
    entry = CORPORA[str(name)] if text is None else hub_entry(text, documents)
    name = text.name if text else str(name)
    if environment.bundled_only() and entry.stand_in:
        print(f"corpus   {entry.stand_in} stands in for {name} (GPTLIB_CORPORA=bundled)")
        return load_corpus(entry.stand_in, documents=documents)
    try:
        return Corpus(name, entry.read()[:documents], entry.source, entry.licence)
    except CorpusUnavailable:
        if fallback is None:
            raise
        print(f"corpus   {fallback} stands in for {name}, neither stored here nor reachable")
        return load_corpus(fallback, documents=documents)


def open_corpus(
    name: str | Path,
    separator: str | None = None,
    documents: int | None = None,
    language: str | None = None,
) -> CorpusStream:
    """A corpus whose documents are read one by one, and kept nowhere; arguments and errors as of
    `load_corpus`, some of the errors only at the document that has them."""
    check_choices(name, documents)
    text = hub_texts.hub_text(str(name), language)
    if text and not environment.bundled_only():
        return CorpusStream(text.name, hub.stream(text, documents), text.source, text.licence)
    if text or str(name) in CORPORA:
        corpus = load_corpus(name, documents=documents, language=language)
        return CorpusStream(corpus.name, iter(corpus.documents), corpus.source, corpus.licence)
    return local_corpus(Path(name), separator, documents)


def stream_corpus(
    name: str | Path,
    separator: str | None = None,
    documents: int | None = None,
    language: str | None = None,
) -> Iterator[str]:
    """The documents of `open_corpus`."""
    return open_corpus(name, separator, documents, language).documents


def hub_entry(text: hub_texts.HubText, documents: int | None) -> Entry:
    """A data set of the hub as an entry among the others."""
    return Entry(partial(hub.read, text, documents), text.source, text.licence, text.stand_in)


def check_choices(name: str | Path, documents: int | None) -> None:
    """Refuse a name or a number that means nothing."""
    if not str(name).strip():
        raise CorpusError(f"the corpus has an empty name: give one of {NAMES}, or a path")
    if documents is not None and documents < 1:
        raise CorpusError(f"documents is {documents}: read at least 1, or leave it out for all")


def local_corpus(path: Path, separator: str | None, documents: int | None) -> CorpusStream:
    """A file or folder of the learner's own; its licence is theirs to know."""
    if not path.exists():
        raise CorpusError(
            f"no corpus {str(path)!r}: give one of {NAMES}, "
            f"or the path of a .txt, .jsonl or .parquet file or of a folder of these"
        )
    rows = islice(stream_documents(path, separator), documents)
    return CorpusStream(path.absolute().stem, rows, str(path), "your own text")


def read_sample(file_name: str) -> list[str]:
    """One of the texts written for this course; it lies beside the package."""
    return read_documents(environment.SAMPLES / file_name)


def read_the_verdict() -> list[str]:
    """The stored copy if there is a right one, else a download."""
    path = environment.data_folder() / "the-verdict.txt"
    if not (path.is_file() and sha256_of(path) == THE_VERDICT_SHA256):
        fetch("the-verdict", THE_VERDICT_URL, path, THE_VERDICT_SHA256)
    return read_documents(path)


def fetch(name: str, url: str, path: Path, sha256: str) -> None:
    """Download a corpus to `path`, or say every way to have it all the same."""
    try:
        if environment.offline():
            raise DownloadError("HF_HUB_OFFLINE=1 forbids the network")
        download(url, path, sha256)
    except (DownloadError, OSError) as error:
        raise CorpusUnavailable(
            f"{name} is not in {path.parent} and did not come ({error}): connect and try again, "
            f"or save {url} as {path}, or set GPTLIB_DATA to a folder that holds {path.name}, "
            f"or go on with {CORPORA[name].stand_in} in its place"
        ) from error


def read_python_docs() -> list[str]:
    """The language reference that every CPython carries; it differs from version to version."""
    try:
        topics = importlib.import_module("pydoc_data.topics").topics
    except ImportError as error:  # some distributions part the manual from the interpreter
        raise CorpusUnavailable(
            f"python-docs: this Python has no pydoc_data ({error}): use another Python, "
            f"or go on with {CORPORA['python-docs'].stand_in} in its place"
        ) from error
    return [topics[topic] for topic in sorted(topics)]


CORPORA = {
    "the-verdict": Entry(
        read_the_verdict,
        "Edith Wharton, The Verdict, 1908",
        "public domain",
        stand_in="sample-story",
    ),
    "python-docs": Entry(
        read_python_docs,
        "pydoc_data.topics of this Python",
        "PSF licence",
        stand_in="sample-articles",
    ),
    **{
        Path(name).stem: Entry(partial(read_sample, name), "written for this course", "MIT")
        for name in ("sample-story.txt", "sample-articles.jsonl", "sample-darija.jsonl")
    },
}
NAMES = ", ".join([*CORPORA, *hub_texts.NAMED, hub_texts.FORM])
