"""A process that reads corpora as it is told to, line by line, and who tells it: Reader.

The hub's libraries take their address and folders from variables, once, when they are imported.
A line is a JSON object ``{"do": name of a function below, **arguments}``; so is each answer.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import time
import traceback
from itertools import islice

from gptlib import cli
from gptlib.config import GPTConfig
from gptlib.data import hub as data_hub
from gptlib.data.corpora import load_corpus, stream_corpus
from gptlib.pretrained import weights
from gptlib.pretrained.weights import load_openai

CANARY = "hf_canaryThatNobodyMayEverSee"  # a token
SLEPT: list[float] = []
SILENCE_OF = data_hub.silence_of


class Reader:
    """A child process that reads what it is told to; its files and its words are kept."""

    def __init__(self, folder, endpoint, **variables):
        self.folder = folder
        folder.mkdir()
        private = ("HF_", "GPTLIB_", "HUGGING")
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(private) and not name.lower().endswith("_proxy")
        }
        own = {
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(folder / "hf"),
            "GPTLIB_DATA": str(folder / "data"),
            "HOME": str(folder),
            "TMPDIR": str(folder),
        }
        with open(folder / "words.txt", "w") as words:
            self.process = subprocess.Popen(
                [sys.executable, __file__],
                env=kept | own | variables,
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                text=True,
            )

    def ask(self, do, *names, **choices):
        assert self.process.stdin and self.process.stdout
        wish = {"do": do, **({"name": names[0]} if names else {}), **choices}
        self.process.stdin.write(json.dumps(wish) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(timeout=20)

    def files(self):
        """Every file that reading has left, without the libraries' locks and their note of the
        newest version."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file()
            and path.suffix != ".lock"
            and path.parent.name != "refs"
            and path.name != "words.txt"
        }


def load(name, **choices):
    corpus = load_corpus(name, **choices)
    kept = {"name": corpus.name, "license": corpus.license, "source": corpus.source}
    return {"documents": corpus.documents, **kept}


def stream(name, first=None, **choices):
    return {"documents": list(islice(stream_corpus(name, **choices), first))}


def weigh(name, revision):
    """Load OpenAI's weights, at the only revision that the small hub has."""
    weights.RELEASES[name] = revision, "548 MB"
    data_hub.libraries()[1].constants.DOWNLOAD_CHUNK_SIZE = 1000  # what a cut may cost
    GPTConfig.named = lambda name: GPTConfig(61, 16, n_layers=1, n_heads=2, width=8)
    model = load_openai(name)
    return {"sum": float(model.token_embedding.weight.sum())}


def prepare(name, out, **choices):
    """The command in this process, with whatever it prints and writes."""
    sys.argv = ["gptlib", "prepare", name, "--out", out, "--vocab-size", "260", *choices["options"]]
    try:
        cli.main()
    except SystemExit as stop:
        return {"exit_code": stop.code}
    return {"exit_code": 0}


class Keyboard(io.StringIO):
    """Standard input with somebody at it."""

    def isatty(self):
        return True


def push(folder, repository, options=(), typed=None):
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


def variable(name, value):
    os.environ.pop(name, None)
    if value is not None:
        os.environ[name] = value
    return {}


def hurry(times):
    """Add the libraries' pauses up instead of waiting for them, and shorten each silence."""
    data_hub.silence_of = lambda method, path: SILENCE_OF(method, path) / times
    time.sleep = SLEPT.append
    return {}


def main():
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
