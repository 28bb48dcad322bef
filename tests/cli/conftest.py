"""What the tests of the commands share: a command line in this process, and a run to work on."""

import io
import sys

import pytest

from gptlib import cli
from gptlib.environment import SAMPLES
from gptlib.tokenizer import END_OF_TEXT, BPETokenizer

QUICK = ["--tokenizer", "characters", "--context-length", "16", "--n-layers", "1", "--n-heads", "2"]
QUICK += ["--width", "16", "--sample-every", "0", "--evaluate-batches", "4"]


@pytest.fixture(autouse=True, scope="module")
def on_one_thread(one_thread):
    """All models here are tiny."""


@pytest.fixture(scope="session")
def quick():
    """Options of a training that takes no time."""
    return QUICK


@pytest.fixture(scope="session")
def typed():
    """Run a command in this process; return its exit code, output and errors."""

    def run(*words, stdin="", main=cli.main):
        with pytest.MonkeyPatch.context() as patch:
            out, err = io.StringIO(), io.StringIO()
            patch.setattr(sys, "argv", ["gptlib", *map(str, words)])
            patch.setattr(sys, "stdin", io.StringIO(stdin) if isinstance(stdin, str) else stdin)
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            code = 0
            try:
                main()
            except SystemExit as stop:
                code = int(stop.code or 0)
        return code, out.getvalue(), err.getvalue()

    return run


@pytest.fixture
def gptlib(typed, tmp_path, monkeypatch):
    """The same in an empty folder, which gets the runs."""
    monkeypatch.setenv("GPTLIB_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    return typed


@pytest.fixture(scope="session")
def refused():
    """Check that a command ended in one line that says something."""

    def check(answer, words):
        code, out, err = answer
        assert code == 2 and words in err and out == "", answer
        assert err.startswith("error: ") and err.count("\n") == 1, err

    return check


@pytest.fixture(scope="session")
def story(typed, tmp_path_factory):
    """A run of eight steps, best at step 2, with the checkpoints of 2, 6 and 8; only read from."""
    run, words = tmp_path_factory.mktemp("runs") / "story", tmp_path_factory.mktemp("words")
    text = (SAMPLES / "sample-story.txt").read_text(encoding="utf-8")
    BPETokenizer.train([text], 300, [END_OF_TEXT], fast=True).save(words)
    rate = ["--learning-rate", "0.9", "--warmup-steps", "7"]  # too high, from step 2 on
    often = ["--evaluate-every", "2", "--checkpoint-every", "2"]
    options = ["--tokenizer", words, *QUICK[2:], *rate, *often, "--steps", 8, "--out", run]
    code, said, err = typed("train", "sample-story", *options)
    assert code == 0, err
    return run, said
