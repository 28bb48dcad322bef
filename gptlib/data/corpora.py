"""Texts by name, by path, or by address on the Hugging Face hub; what to do when one is not there.

Facts and licenses of every named corpus stand in ``data/README.md``.
"""

import hashlib
import importlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from gptlib import environment
from gptlib.config import did_you_mean
from gptlib.data import hub
from gptlib.data.readers import check_text, stream_documents
from gptlib.errors import CorpusError, CorpusUnavailable, DownloadError
from gptlib.files import atomic_write, download, sha256_of

THE_VERDICT_URL = (
    "https://raw.githubusercontent.com/rasbt/LLMs-from-scratch/main/"
    "ch02/01_main-chapter-code/the-verdict.txt"
)
THE_VERDICT_SHA256 = "b41e41a68f0398a3154ae69e2e4c0e2694e17fe0d66730536837f1b01935b31f"
DUMP = "20231101"  # the date of Wikipedia's copy on the hub


@dataclass(frozen=True)
class Corpus:
    """Documents in memory, and where they are from."""

    name: str
    documents: list[str]
    source: str
    license: str

    @property
    def text(self) -> str:
        """All documents, a blank line between."""
        return "\n\n".join(self.documents)

    @property
    def fingerprint(self) -> str:
        """A sha256 of the documents and their order: two equal texts have the same."""
        digest = hashlib.sha256()
        for document in self.documents:
            digest.update(hashlib.sha256(document.encode()).digest())
        return digest.hexdigest()


@dataclass(frozen=True)
class CorpusSpec:
    """A corpus that is still to be read: where it is from, and what goes on in its place."""

    name: str
    license: str = "its owner's: read its page on the hub"
    repository: str = ""  # on the hub: one column of one split
    config: str | None = None  # None: the data set's own default
    split: str = "train"  # "train[:10%]" takes a slice
    column: str = "text"
    gated: bool = False  # whether its owner asks for a login
    large: bool = False  # whether the whole would not fit in memory
    origin: str = ""  # of a text that is not on the hub
    read: Callable[[], Iterable[str]] = tuple  # its documents
    fallback: str | None = "sample-articles"  # None: it comes with the course, or is the user's

    @property
    def source(self) -> str:
        """Where it is from, in one line."""
        config = f", config {self.config}" if self.config else ""
        on_hub = f"{self.repository} on the Hugging Face hub{config}, split {self.split}"
        return self.origin or on_hub

    def stream(self, documents: int | None = None) -> Iterator[str]:
        """The first `documents` (None: all), one by one as they are asked for; kept nowhere."""
        if documents is not None and documents < 1:
            raise CorpusError(f"documents is {documents}: read at least 1, or leave it out for all")
        return islice(stream_hub(self) if self.repository else self.read(), documents)


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
        name: a key of `CORPORA`, an address such as `hub.ADDRESS`, or the path of a .txt, .jsonl or
            .parquet file or of a folder of these.
        fallback: the corpus to go on with where `name` is neither stored here nor reachable.
        separator: what splits a .txt file into documents; without it a file is one.
        documents: how many to read, from the first; None for all.
        language: of Wikipedia, such as ``ar``.

    Raises:
        CorpusUnavailable: `name` is known, but neither stored here nor reachable.
        CorpusError: `name` is unknown, or a file cannot be read as text.
    """
    spec = find_corpus(name, separator, language)
    rows = spec.stream(documents)
    try:
        texts = read_hub(spec, documents) if spec.repository else list(rows)
    except CorpusUnavailable:
        if fallback is None:
            raise
        print(f"corpus   {fallback} stands in for {spec.name}, neither stored here nor reachable")
        return load_corpus(fallback, documents=documents)
    return Corpus(spec.name, texts, spec.source, spec.license)


def stream_corpus(
    name: str | Path,
    separator: str | None = None,
    documents: int | None = None,
    language: str | None = None,
) -> Iterator[str]:
    """The documents of a corpus one by one; arguments and errors as of `load_corpus`, most errors
    only at the first document."""
    return find_corpus(name, separator, language).stream(documents)


def find_corpus(
    name: str | Path, separator: str | None = None, language: str | None = None
) -> CorpusSpec:
    """What `load_corpus` reads, or the sample in its place; nothing is read or fetched yet."""
    name = str(name)
    spec = CORPORA.get(name)
    if name.startswith("hub:"):
        spec = CorpusSpec(hub.file_name(name.removeprefix("hub:")), **hub.parse_address(name))
    if language is not None:
        if name != "wikipedia" or not re.fullmatch(r"[a-z][a-z0-9-]*", language):
            raise CorpusError(
                f"{name} has no language {language!r}: only wikipedia takes one, such as en or ar"
            )
        spec = replace(CORPORA[name], config=f"{DUMP}.{language}")
    spec = spec or find_file(name, separator)
    if environment.bundled_only() and spec.fallback:
        print(f"corpus   {spec.fallback} stands in for {spec.name} (GPTLIB_CORPORA=bundled)")
        return CORPORA[spec.fallback]
    return spec


def find_file(name: str, separator: str | None) -> CorpusSpec:
    """A file or folder of the user's own, whose license is theirs to know."""
    path = Path(name)
    if name.strip() and path.exists():
        return CorpusSpec(
            path.absolute().stem,
            "your own text",
            origin=name,
            read=partial(stream_documents, path, separator),
            fallback=None,
        )
    wrong = f"no corpus '{name}', and no file or folder of that name"
    if "/" in name or "\\" in name or path.suffix:  # it can only be meant as a path
        wrong = f"no file or folder {name}"
    raise CorpusError(
        f"{wrong if name.strip() else 'the corpus has an empty name'}: give one of "
        f"{', '.join(CORPORA)}, {hub.ADDRESS}, or the path of a .txt, .jsonl or .parquet file or "
        f"of a folder of these{did_you_mean(name, [*CORPORA, *beside(path)])}"
    )


def beside(path: Path) -> list[str]:
    """The paths that stand where this one should, as they would be typed."""
    try:
        return [str(path.with_name(other.name)) for other in path.parent.iterdir()]
    except (OSError, ValueError):
        return []


def stream_hub(spec: CorpusSpec, whole: bool = False) -> Iterator[str]:
    """The documents of a data set of the hub that are not blank; where one does not come,
    CorpusUnavailable names every way out."""
    place = spec.repository, spec.config, spec.split, spec.column
    try:
        for number, value in enumerate(hub.stream_column(*place, whole)):
            if value is not None:
                text = check_text(value, f"{spec.name}, row {number:,}", spec.column)
                if text.strip():
                    yield text
    except DownloadError as error:
        way = (
            "unset HF_HUB_OFFLINE and connect" if environment.offline() else "connect and try again"
        )
        if spec.gated or "gated" in str(error):
            way += (
                f", or accept its terms at https://huggingface.co/datasets/{spec.repository} and "
                f"put your token into HF_TOKEN or .env, or log in with `hf auth login`"
            )
        raise CorpusUnavailable(
            f"{spec.name} ({spec.source}) is not stored here and did not come ({error}): {way}, "
            f"or check config and split at its page, or bring the folder that HF_HOME names from a "
            f"machine that has it, or give the path of a .jsonl or .parquet file with its texts, "
            f"or go on with {spec.fallback} in its place"
        ) from None


def read_hub(spec: CorpusSpec, documents: int | None) -> list[str]:
    """The documents of a data set in memory; kept, so that a second reading needs no network.

    The whole of one is kept by `datasets` in its own cache; the first `documents` of one are kept
    as a file in the data folder, another for another config, split or column.
    """
    if documents is None:
        if spec.large:
            raise CorpusError(
                f"{spec.name} is larger than memory: give documents=N for its first N, "
                f"or read it with stream_corpus"
            )
        return list(stream_hub(spec, whole=True))
    parts = [spec.repository, spec.config, spec.split, spec.column, documents]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    name = f"{hub.file_name(spec.repository)}-{documents}-{digest[:12]}.jsonl"
    path = environment.data_folder() / "hub" / name
    if not path.is_file():
        with atomic_write(path, "w") as file:
            for document in islice(stream_hub(spec), documents):
                file.write(json.dumps({"text": document}, ensure_ascii=False) + "\n")
    return list(stream_documents(path))


def read_the_verdict() -> Iterator[str]:
    """The stored copy if there is a right one, else a download."""
    path = environment.data_folder() / "the-verdict.txt"
    try:
        if not (path.is_file() and sha256_of(path) == THE_VERDICT_SHA256):
            if environment.offline():
                raise DownloadError("HF_HUB_OFFLINE=1 forbids the network")
            download(THE_VERDICT_URL, path, THE_VERDICT_SHA256)
    except (DownloadError, OSError) as error:
        raise CorpusUnavailable(
            f"the-verdict is not in {path.parent} and did not come ({error}): connect and try "
            f"again, or save {THE_VERDICT_URL} as {path}, or set GPTLIB_DATA to a folder that "
            f"holds {path.name}, or go on with sample-story in its place"
        ) from error
    yield from stream_documents(path)


def read_python_docs() -> list[str]:
    """The language reference that every CPython carries; it differs from version to version."""
    try:
        topics = importlib.import_module("pydoc_data.topics").topics
    except ImportError as error:  # some distributions part the manual from the interpreter
        raise CorpusUnavailable(
            f"python-docs: this Python has no pydoc_data ({error}): use another Python, "
            f"or go on with sample-articles in its place"
        ) from error
    return [topics[topic] for topic in sorted(topics)]


def bundled(file_name: str) -> CorpusSpec:
    """One of the texts that come with the course."""
    name, read = Path(file_name).stem, partial(stream_documents, environment.SAMPLES / file_name)
    return CorpusSpec(name, "MIT", origin="written for this course", read=read, fallback=None)


CORPORA = {
    spec.name: spec
    for spec in (
        CorpusSpec(
            "the-verdict",
            "public domain",
            origin="Edith Wharton, The Verdict, 1908",
            read=read_the_verdict,
            fallback="sample-story",
        ),
        CorpusSpec(
            "python-docs",
            "PSF license",
            origin="pydoc_data.topics of this Python",
            read=read_python_docs,
        ),
        *map(bundled, ("sample-story.txt", "sample-articles.jsonl", "sample-darija.jsonl")),
        CorpusSpec(
            "wikipedia", "CC BY-SA 3.0 and GFDL", "wikimedia/wikipedia", f"{DUMP}.en", large=True
        ),
        CorpusSpec(
            *("darija", "CC BY 4.0", "ayoubkirouane/Algerian-Darija", None, "v1", "Text"),
            fallback="sample-darija",
        ),
        CorpusSpec("openwebtext", "CC0", "Skylion007/openwebtext", large=True),
        CorpusSpec(
            *("tiny-textbooks", "Apache-2.0", "nampdn-ai/tiny-textbooks"),
            column="textbook",
            gated=True,
        ),
    )
}
