"""Data sets of the Hugging Face hub, by its own libraries, which give up in time and say why.

Code that comes with a data set is never run: `datasets` no longer does, and nothing here asks it.
"""

import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from gptlib import environment
from gptlib.errors import CorpusError, DownloadError
from gptlib.files import sha256_of

ADDRESS = "hub:owner/name?config=…&split=…&column=…"


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


def parse_address(address: str) -> dict[str, Any]:
    """The parts of ``hub:owner/name?config=…&split=…&column=…`` that it has; raises CorpusError."""
    repository, _, query = address.removeprefix("hub:").partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    if (
        not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", repository, re.ASCII)
        or {name for name, _ in pairs} - {"config", "split", "column"}
        or len(dict(pairs)) < len(pairs)
        or not all(value for _, value in pairs)
    ):
        raise CorpusError(f"{address!r} is no address of a data set: write {ADDRESS}")
    return {"repository": repository, **dict(pairs)}


def file_name(address: str) -> str:
    """The address as a name that any file system takes."""
    return re.sub(r"[^\w.-]+", "--", address).strip("-.")


def stream_column(
    repository: str, config: str | None, split: str, column: str, whole: bool
) -> Iterator[Any]:
    """The values of one column of a data set, one by one.

    Args:
        repository, config, split, column: which; without a config the data set's default.
        whole: fetch all of it first, into the cache of `datasets`, and read it from there.

    Raises:
        DownloadError: what went wrong, in one line without the user's token.
        CorpusError: there is no such column.
    """
    token = None
    try:
        datasets, hub = libraries()
        token = hub.get_token() or environment.token_in_file()
        # A slice needs the number of rows, which only a whole copy knows; so does who is offline.
        if whole := whole or "[" in split or environment.offline():
            try:
                rows = datasets.load_dataset(repository, config, split=split, token=token)
            except Exception:
                remove_damaged(repository)
                raise
        else:
            builder = datasets.load_dataset_builder(repository, config, token=token)
            rows = builder.as_streaming_dataset(split=split)
        if rows.column_names is not None and column not in rows.column_names:
            raise CorpusError(
                f"{repository} has no column {column!r} but {', '.join(rows.column_names)}: "
                f"name the one that holds the documents, as in {ADDRESS}"
            )
        if not whole and hasattr(builder.config, "columns"):  # of parquet files, ours alone
            builder.config.columns = [column]
            rows = builder.as_streaming_dataset(split=split)
        for row in rows.select_columns([column]):
            yield row[column]
    except CorpusError:
        raise
    except Exception as error:
        reason = one_line(error)
        raise DownloadError(reason.replace(token, "…") if token else reason) from None


def remove_damaged(repository: str) -> None:
    """Remove downloads that are not what their name says, or every later run would trust them.

    The hub's library checks their length only; it names large files by their sha256.
    """
    folder = Path(libraries()[1].constants.HF_HUB_CACHE)
    for path in folder.glob(f"datasets--{repository.replace('/', '--')}/blobs/*"):
        if re.fullmatch("[0-9a-f]{64}", path.name) and sha256_of(path) != path.name:
            path.unlink()


def one_line(error: BaseException) -> str:
    """What happened at the bottom: the libraries wrap it in reasons of their own."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) and cause not in causes:
        causes.append(cause)
    told = [cause for cause in causes if "is not cached in" not in str(cause)]
    return " ".join(str((told or causes)[-1]).split()) or type(error).__name__
