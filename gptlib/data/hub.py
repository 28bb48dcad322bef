"""Read data sets of the Hugging Face hub, streamed or kept; whatever goes wrong is named.

Code that comes with a data set is never run: `datasets` no longer does, and nothing here asks it.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from gptlib import paths
from gptlib.data.hub_client import PATIENCE, libraries
from gptlib.data.hub_texts import FORM, HubText, file_name
from gptlib.data.reading import checked_text, read_documents
from gptlib.errors import CorpusError, CorpusUnavailable, DownloadError
from gptlib.files import atomic_write, sha256_of


def stream(text: HubText, documents: int | None = None) -> Iterator[str]:
    """Its documents one by one, read from the hub as they are asked for and kept nowhere.

    Args:
        text: what to read.
        documents: how many, from the first; None for all.

    Raises:
        CorpusUnavailable: at the first document or between two, where one does not come.
        CorpusError: it has no such config, split or column.
    """
    # A slice needs the number of rows, which only a whole copy knows; so does an offline reader.
    whole = "[" in text.split or paths.offline()
    return islice(rows_of(text, streaming=not whole), documents)


def read(text: HubText, documents: int | None = None) -> list[str]:
    """Its documents in memory; kept, so that a second reading needs no network.

    The whole of a data set is kept by `datasets` in its own cache; the first `documents` of one
    are kept as a file in the data folder. Raises as `stream` does.
    """
    if documents is None:
        if text.large:
            raise CorpusError(
                f"{text.name} is larger than memory: give documents=N for its first N, "
                f"or read it with stream_corpus"
            )
        return list(rows_of(text, streaming=False))
    path = kept_at(text, documents)
    if not path.is_file():
        with atomic_write(path, "w") as file:
            for document in stream(text, documents):
                file.write(json.dumps({"text": document}, ensure_ascii=False) + "\n")
    return read_documents(path)


def kept_at(text: HubText, documents: int) -> Path:
    """The file that keeps the first documents; another config, split or column is another file."""
    parts = [text.repository, text.config, text.split, text.column, documents]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    name = f"{file_name(text.repository)}-{documents}-{digest[:12]}.jsonl"
    return paths.data_folder() / "hub" / name


def rows_of(text: HubText, streaming: bool) -> Iterator[str]:
    """The documents that are not blank, with every failure turned into a named one."""
    token = libraries()[1].get_token() or paths.token_in_file()
    with failures_named(text, token):
        PATIENCE.forget()
        rows = (open_stream if streaming else open_copy)(text, token)
        for number, row in enumerate(rows.select_columns([text.column])):
            value = row[text.column]
            if value is not None:
                document = checked_text(value, f"{text.name}, row {number:,}", text.column)
                if document.strip():
                    yield document.replace("\r\n", "\n")


def open_copy(text: HubText, token: str | None) -> Any:
    """The whole, downloaded once into the cache of `datasets` and mapped from there."""
    datasets, _ = libraries()
    try:
        rows = datasets.load_dataset(text.repository, text.config, split=text.split, token=token)
    except Exception:
        drop_damaged(text.repository)
        raise
    check_column(text, rows.column_names)
    return rows


def drop_damaged(repository: str) -> None:
    """Remove downloads that are not what their name says, or every later run would trust them.

    The hub's library checks their length only; it names large files by their sha256.
    """
    folder = Path(libraries()[1].constants.HF_HUB_CACHE)
    for path in folder.glob(f"datasets--{repository.replace('/', '--')}/blobs/*"):
        if re.fullmatch("[0-9a-f]{64}", path.name) and sha256_of(path) != path.name:
            path.unlink()


def open_stream(text: HubText, token: str | None) -> Any:
    """Rows that are read as they are asked for; of parquet files, our column alone."""
    datasets, _ = libraries()
    builder = datasets.load_dataset_builder(text.repository, text.config, token=token)
    rows = builder.as_streaming_dataset(split=text.split)
    check_column(text, rows.column_names)
    if hasattr(builder.config, "columns"):
        builder.config.columns = [text.column]
        rows = builder.as_streaming_dataset(split=text.split)
    return rows


def check_column(text: HubText, columns: list[str] | None) -> None:
    """A column that is not there is named before the first row is read."""
    if columns is not None and text.column not in columns:
        raise CorpusError(
            f"{text.name} has no column {text.column!r} but {', '.join(columns)}: "
            f"name the one that holds the documents, as in {FORM}"
        )


@contextmanager
def failures_named(text: HubText, token: str | None) -> Iterator[None]:
    """Turn whatever the hub's libraries raise into one line that names every way out."""
    try:
        yield
    except CorpusError:
        raise
    except Exception as error:
        reason = one_line(error)
        if token:
            reason = reason.replace(token, "…")
        raise CorpusUnavailable(unavailable(text, reason)) from None


def one_line(error: BaseException) -> str:
    """What happened first: the libraries wrap it in reasons of their own."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) and cause not in causes:
        causes.append(cause)
    named = [cause for cause in causes if isinstance(cause, DownloadError)]
    return " ".join(str((named or causes)[0]).split()) or type(error).__name__


def unavailable(text: HubText, reason: str) -> str:
    """The line that names every way out."""
    ways = "connect and try again"
    if paths.offline():
        ways = "unset HF_HUB_OFFLINE and connect"
    if text.gated or "gated" in reason:
        ways += (
            f", or accept its terms at https://huggingface.co/datasets/{text.repository} and put "
            f"your token into HF_TOKEN or .env, or log in with `hf auth login`"
        )
    return (
        f"{text.name} ({text.source}) is not stored here and did not come ({reason}): {ways}, "
        f"or check config and split at its page, or bring the folder that HF_HOME names from a "
        f"machine that has it, or give the path of a .jsonl or .parquet file with its texts, "
        f"or go on with {text.stand_in} in its place"
    )
