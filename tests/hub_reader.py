"""A process that reads corpora as it is told to, line by line; run by test_hub.

The hub's libraries take their address and folders from variables, once, when they are imported.
A line is a JSON object ``{"do": name of a function below, **arguments}``; so is each answer.
"""

import contextlib
import io
import json
import os
import sys
import time
import traceback
from itertools import islice
from typing import Any

from gptlib import cli
from gptlib.config import GPTConfig
from gptlib.data import hub as data_hub
from gptlib.data.corpora import load_corpus, stream_corpus
from gptlib.pretrained import weights
from gptlib.pretrained.weights import load_openai

SLEPT: list[float] = []
SILENCE_OF = data_hub.silence_of


def load(name: str, **choices: Any) -> dict[str, Any]:
    corpus = load_corpus(name, **choices)
    kept = {"name": corpus.name, "license": corpus.license, "source": corpus.source}
    return {"documents": corpus.documents, **kept}


def stream(name: str, first: int | None = None, **choices: Any) -> dict[str, Any]:
    return {"documents": list(islice(stream_corpus(name, **choices), first))}


def weigh(name: str, revision: str) -> dict[str, Any]:
    """Load OpenAI's weights, at the only revision that the small hub has."""
    weights.RELEASES[name] = revision, "548 MB"
    data_hub.libraries()[1].constants.DOWNLOAD_CHUNK_SIZE = 1000  # what a cut may cost
    GPTConfig.named = lambda name: GPTConfig(61, 16, n_layers=1, n_heads=2, width=8)  # type: ignore
    model = load_openai(name)
    return {"sum": float(model.token_embedding.weight.sum())}


def prepare(name: str, out: str, **choices: Any) -> dict[str, Any]:
    """The command in this process, with whatever it prints and writes."""
    sys.argv = ["gptlib", "prepare", name, "--out", out, "--vocab-size", "260", *choices["options"]]
    try:
        cli.main()
    except SystemExit as stop:
        return {"exit_code": stop.code}
    return {"exit_code": 0}


class Keyboard(io.StringIO):
    """Standard input with somebody at it."""

    def isatty(self) -> bool:
        return True


def push(
    folder: str, repository: str, options: tuple[str, ...] = (), typed: str | None = None
) -> dict[str, Any]:
    """The command in this process: its exit code and all that it says."""
    sys.argv = ["gptlib", "push", folder, repository, *options]
    before = sys.stdin
    sys.stdin = io.StringIO() if typed is None else Keyboard(typed)
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            cli.main()
    except SystemExit as stop:
        return {"exit_code": stop.code or 0, "said": said.getvalue()}
    finally:
        sys.stdin = before
    return {"exit_code": 0, "said": said.getvalue()}


def variable(name: str, value: str | None) -> dict[str, Any]:
    os.environ.pop(name, None)
    if value is not None:
        os.environ[name] = value
    return {}


def hurry(times: float) -> dict[str, Any]:
    """Add the libraries' pauses up instead of waiting for them, and shorten each silence."""
    data_hub.silence_of = lambda method, path: SILENCE_OF(method, path) / times
    time.sleep = SLEPT.append  # type: ignore[assignment]
    return {}


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # what the package prints is read there
    for line in sys.stdin:
        wish = json.loads(line)
        SLEPT.clear()
        start = time.monotonic()
        try:
            answer = globals()[wish.pop("do")](**wish)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": type(error).__name__, "message": str(error)}
        answer |= {"seconds": time.monotonic() - start + sum(SLEPT)}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
