"""Read data sets of the Hugging Face hub, streamed or kept; whatever goes wrong is named.

Code that comes with a data set is never run: `datasets` no longer does, and nothing here asks it.
"""

import hashlib
import importlib
import inspect
import json
import re
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from gptlib import environment
from gptlib.data.hub_texts import FORM, HubText, file_name
from gptlib.data.reading import checked_text, read_documents
from gptlib.errors import CorpusError, CorpusUnavailable, DownloadError
from gptlib.files import atomic_write, sha256_of


@cache
def libraries() -> tuple[Any, Any]:
    """`datasets` and `huggingface_hub`, made to give up within half a minute.

    As they come, a request is made six times, with 23 seconds of sleep between or as long as a
    busy server likes; `datasets` waits for 100 seconds at a time and tries twenty times; sending
    has no limit. HF_HUB_DOWNLOAD_TIMEOUT and HF_HUB_ETAG_TIMEOUT change a part of this only.
    Imported at the first data set of the hub: it takes seconds, and most texts need neither.
    """
    datasets, hub = map(importlib.import_module, ("datasets", "huggingface_hub"))
    # Where a server stores files by chunks, another downloader would go round these limits.
    hub.constants.HF_HUB_DISABLE_XET = True
    for ask in (hub.utils.http_backoff, hub.utils.http_stream_backoff):
        inspect.unwrap(ask).__kwdefaults__["max_retries"] = 1
    datasets.config.STREAMING_READ_MAX_RETRIES = datasets.config.STREAMING_OPEN_MAX_RETRIES = 1
    for name in ("READ", "READ_SERVER_UNAVAILABLE", "READ_RATE_LIMIT", "OPEN"):
        setattr(datasets.config, f"STREAMING_{name}_RETRY_INTERVAL", 0)
    if environment.quiet():
        datasets.disable_progress_bars()
    session = hub.get_session()
    hooks = {"request": [*session.event_hooks["request"], limit], "response": [refuse_to_wait]}
    hub.set_client_factory(lambda: type(session)(event_hooks=hooks, follow_redirects=True))
    return datasets, hub


def limit(request: Any) -> None:
    """Called with every request of the hub's library before it is sent."""
    if environment.offline():  # here and now: the libraries read it once, at import
        raise DownloadError("HF_HUB_OFFLINE=1 forbids the network")
    silence = silence_of(request.method, request.url.path)
    request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), silence)


def refuse_to_wait(response: Any) -> None:
    """Called with every answer: the library would sleep as long as this one asks for."""
    if response.status_code == 429 or "retry-after" in response.headers:
        wait = response.headers.get("retry-after", "no time named")
        raise DownloadError(
            f"the server is busy (HTTP {response.status_code}), asks us to wait: {wait}"
        )


def silence_of(method: str, path: str) -> float:
    """Seconds without an answer, or without another byte, that end one try."""
    if method == "PUT" or "/commit/" in path:
        return 60.0  # what was sent is checked before the answer
    return 3.5 if "/resolve/" in path else 8.0  # a file is tried up to six times, all else twice


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
    whole = "[" in text.split or environment.offline()
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
    return environment.data_folder() / "hub" / name


def rows_of(text: HubText, streaming: bool) -> Iterator[str]:
    """The documents that are not blank, with every failure turned into a line with each way out."""
    token = None
    try:
        token = libraries()[1].get_token() or environment.token_in_file()
        rows = (open_stream if streaming else open_copy)(text, token)
        for number, row in enumerate(rows.select_columns([text.column])):
            value = row[text.column]
            if value is not None:
                document = checked_text(value, f"{text.name}, row {number:,}", text.column)
                if document.strip():
                    yield document.replace("\r\n", "\n")
    except CorpusError:
        raise
    except Exception as error:
        reason = one_line(error)
        told = reason.replace(token, "…") if token else reason
        raise CorpusUnavailable(unavailable(text, told)) from None


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


def one_line(error: BaseException) -> str:
    """What happened at the bottom: the libraries wrap it in reasons of their own."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) and cause not in causes:
        causes.append(cause)
    told = [cause for cause in causes if "is not cached in" not in str(cause)]
    return " ".join(str((told or causes)[-1]).split()) or type(error).__name__


def unavailable(text: HubText, reason: str) -> str:
    """The line that names every way out."""
    ways = "connect and try again"
    if environment.offline():
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
