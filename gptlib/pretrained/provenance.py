"""The text behind a run: its name, where it is from and under which terms."""

from dataclasses import dataclass
from pathlib import Path

from gptlib.data.corpora import CORPORA
from gptlib.data.hub_texts import NAMED
from gptlib.data.prepared import SHARDS
from gptlib.data.shards import read_index
from gptlib.errors import ShardError
from gptlib.training.metrics import Row


@dataclass(frozen=True)
class Text:
    """What is known of a text; never where on a machine it lay."""

    name: str
    fingerprint: str  # sha256
    source: str = "not known here"
    licence: str = "not known here: fill it in"
    repository: str | None = None  # on the Hugging Face hub


def text_of(about: Row) -> Text | None:
    """The text that the first line of a run's metrics names; None if it names none."""
    corpus = about.get("corpus")
    if not corpus:
        return None
    name, fingerprint = name_of(corpus["name"]), corpus["fingerprint"]
    if known := NAMED.get(name):
        source = f"{known.repository} on the Hugging Face hub"
        return Text(name, fingerprint, source, known.licence, known.repository)
    if entry := CORPORA.get(name):
        return Text(name, fingerprint, entry.source, entry.licence)
    return Text(name, fingerprint)


def name_of(corpus: str) -> str:
    """The name of a text; of a prepared folder, which a run names by its path, that of its text."""
    path = Path(corpus)
    try:
        source = read_index(path / SHARDS).source["name"]
        return source.partition(": ")[0] or path.name
    except ShardError:
        return path.name or corpus
