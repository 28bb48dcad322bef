"""The hub's own HTTP client, made to give up in time and with a reason.

As they come, the hub's libraries ask up to six times, sleep as long as a server likes between
two tries and multiply that by retries of their own: a stalled connection holds a learner for
minutes. Here a request is made three times at most, each with a short silence.
Source: `huggingface_hub.set_client_factory`, its documented way to bring a client of one's own.
"""

import importlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from gptlib import paths
from gptlib.errors import DownloadError

TRIES = 3
SILENCE = 5.0  # seconds without an answer, or without another byte, that end one try
SILENCE_AFTER_SENDING = 60.0  # the same for one who sends: a server has much to check then
LONGEST_WAIT = 5.0  # seconds that a server may ask for between two tries
BUSY = (408, 429, 500, 502, 503, 504)  # answers that the libraries ask again for


class Patience:
    """Counts the tries of each request; requests come from several threads."""

    def __init__(self) -> None:
        self.tries: dict[tuple[str, ...], int] = {}
        self.lock = threading.Lock()
        self.sending = False

    @property
    def silence(self) -> float:
        """The seconds that end one try."""
        return SILENCE_AFTER_SENDING if self.sending else SILENCE

    @contextmanager
    def for_sending(self) -> Iterator[None]:
        """Wait longer for answers inside a ``with`` block."""
        self.forget()
        self.sending = True
        try:
            yield
        finally:
            self.sending = False

    def begin(self, key: tuple[str, ...], reason: str = "cut short again and again") -> None:
        """Count one more try.

        Raises:
            DownloadError: there have been `TRIES` of them.
        """
        with self.lock:
            if self.tries.get(key, 0) >= TRIES:
                raise DownloadError(f"{key[1]}, asked {TRIES} times: {reason}")
            self.tries[key] = self.tries.get(key, 0) + 1

    def failed(self, key: tuple[str, ...], reason: str) -> None:
        """Say why a try failed, and raise DownloadError where it was the last."""
        if self.tries.get(key, 0) >= TRIES:
            raise DownloadError(f"{key[1]}, asked {TRIES} times: {reason}")

    def forget(self, key: tuple[str, ...] | None = None) -> None:
        """One request has been answered in full; without a key, a new reading begins."""
        with self.lock:
            self.tries = {} if key is None else {k: n for k, n in self.tries.items() if k != key}


PATIENCE = Patience()


@cache
def libraries() -> tuple[Any, Any]:
    """`datasets` and `huggingface_hub`, with a client that gives up in time.

    Imported at the first data set of the hub, as it takes seconds and most corpora need neither.
    """
    datasets, hub = map(importlib.import_module, ("datasets", "huggingface_hub"))
    # Where a server stores files by chunks, another downloader would go round this client.
    hub.constants.HF_HUB_DISABLE_XET = True
    datasets.config.STREAMING_READ_MAX_RETRIES = datasets.config.STREAMING_OPEN_MAX_RETRIES = 1
    for name in ("READ", "READ_SERVER_UNAVAILABLE", "READ_RATE_LIMIT", "OPEN"):
        setattr(datasets.config, f"STREAMING_{name}_RETRY_INTERVAL", 0)
    if paths.quiet():
        datasets.disable_progress_bars()
    session = hub.get_session()
    patient, hooks = client_class(type(session)), session.event_hooks
    hub.set_client_factory(lambda: patient(event_hooks=hooks, follow_redirects=True))
    return datasets, hub


def client_class(original: Any) -> Any:
    """The hub's client class with patience; which library it is from depends on the version."""
    library: Any = importlib.import_module(original.__module__.partition(".")[0])

    class PatientClient(original):
        def send(self, request: Any, *, stream: bool = False, **settings: Any) -> Any:
            if paths.offline():  # read at every request: the libraries read it once, at import
                raise DownloadError("HF_HUB_OFFLINE=1 forbids the network")
            request.extensions["timeout"] = library.Timeout(PATIENCE.silence).as_dict()
            key = (request.method, str(request.url), request.headers.get("range", ""))
            PATIENCE.begin(key)
            try:
                answer = super().send(request, stream=stream, **settings)
            except library.TransportError as error:
                PATIENCE.failed(key, reason_of(error))
                raise
            check_answer(key, answer)
            if not stream and answer.status_code not in BUSY:
                PATIENCE.forget(key)
            return answer

    return PatientClient


def check_answer(key: tuple[str, ...], answer: Any) -> None:
    """Refuse what is no answer of the hub's, and what it would be too long to wait for.

    Raises:
        DownloadError: an HTML page, a long wait, or the last try was in vain as well.
    """
    kind = answer.headers.get("content-type", "")
    if answer.status_code == 200 and kind.startswith("text/html"):
        raise DownloadError(f"{key[1]}: an HTML page came, perhaps a login or error page")
    if answer.status_code in BUSY:
        if (wait := wait_of(answer.headers)) > LONGEST_WAIT:
            raise DownloadError(f"{key[1]}: HTTP {answer.status_code}, come back in {wait:g} s")
        PATIENCE.failed(key, f"the server answered HTTP {answer.status_code}")


def wait_of(headers: Any) -> float:
    """The seconds that a busy server asks for; 0 where it names none."""
    limit = re.search(r";\s*t\s*=\s*(\d+)", headers.get("ratelimit", ""))
    wait = limit[1] if limit else headers.get("retry-after", "").strip()
    return float(wait) if wait.isdigit() else 0.0


def reason_of(error: Exception) -> str:
    """A transport's failure in one line, in words where we know better."""
    if "Timeout" in type(error).__name__:
        return f"no answer within {PATIENCE.silence:g} seconds"
    return " ".join(str(error).split()) or type(error).__name__
