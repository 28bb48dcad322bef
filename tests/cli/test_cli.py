"""The command line: a help that starts fast, and one line for whatever is wrong."""

import io
import os
import random
import re
import resource
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import gptlib as package
from gptcourse.paths import REPOSITORY
from gptlib import cli
from gptlib.config import GPTConfig, TrainingConfig
from gptlib.options import COMMANDS, SHAPE, VARIABLES, build_parser

FULL = "/dev/full"  # a device on which nothing has room


# Help


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=str)
def test_every_command_has_a_help_that_names_its_options(gptlib, command):
    code, out, _ = gptlib(*command, "--help")
    assert code == 0 and out.startswith(f"usage: {' '.join(['python -m gptlib', *command])} ")
    assert "%" not in out and "None" not in out


def test_the_help_is_there_in_half_a_second():
    def spent():  # of the processor: others may be busy on this machine
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before = spent()
    for _ in range(3):
        run("train", "--help", capture_output=True, check=True)
    assert (spent() - before) / 3 < 0.5


def test_the_options_of_train_are_the_fields_of_the_records_in_groups():
    help = next(a for a in build_parser()._actions if a.dest == "command").choices["train"]
    groups = {group.title: [a.dest for a in group._group_actions] for group in help._action_groups}
    assert {"data", "model", "settings", "run"} < set(groups)
    assert set(groups["settings"]) > {field.name for field in fields(TrainingConfig)}
    assert set(groups["model"]) > set(SHAPE)
    said = {action.dest: action.help for action in help._actions}
    for record in (TrainingConfig, GPTConfig):
        for field in fields(record):
            assert said.get(field.name, field.metadata["help"]) == field.metadata["help"]


def test_every_variable_that_is_read_is_in_the_help(gptlib):
    text = Path(package.__path__[0], "environment.py").read_text(encoding="utf-8")
    names = set(re.findall(r'environ(?:\.get\(|\[)"(\w+)"', text)) | {"HF_TOKEN"}
    assert len(names) >= 8 and all(f"  {name} " in VARIABLES for name in names)
    assert VARIABLES in gptlib("--help")[1]
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in readme for name in names)


def test_the_version_is_the_packages(gptlib):
    assert gptlib("--version") == (0, f"gptlib {package.__version__}\n", "")


# One line for what is wrong

STORY = ["train", "sample-story"]
BAD = [
    (["fly"], "invalid choice: 'fly'"),
    (["plot", "mine", "--format", ""], "invalid choice: ''"),
    (["trian"], "did you mean 'train'?"),
    ([*STORY, "--optimizer", "sgd"], "unrecognized arguments: --optimizer sgd: see python -m"),
    ([*STORY, "--stpes", "3"], "did you mean '--steps'?"),
    ([*STORY, "--step", "3"], "did you mean '--steps'?"),  # no guessing at abbreviations
    ([*STORY, "--steps", "many"], "--steps: invalid int value: 'many'"),
    (["generate", "--prompt", "x"], "required: --model"),
    # texts
    (["train", "no-such-corpus"], "no corpus 'no-such-corpus', and no file or folder"),
    (["train", "sample-stroy"], "did you mean 'sample-story'?"),
    (["evaluate", "gpt2", "Sample-Darja"], "did you mean 'sample-darija'?"),
    (["prepare", "sampel-story", "--out", "new"], "did you mean 'sample-story'?"),
    (["train", "no/such/file.txt"], "no file or folder no/such/file.txt: "),
    (["train", "c:\\texts\\a.txt"], "no file or folder c:\\texts\\a.txt: "),
    (["evaluate", "gpt2", "mine.tx"], "did you mean 'mine.txt'?"),
    (["prepare", "mine.tx", "--out", "new"], "did you mean 'mine.txt'?"),
    (["train", ""], "the corpus has an empty name"),
    (["train", "empty.txt"], "empty.txt holds no text"),
    (["evaluate", "gpt2", "empty.txt"], "empty.txt holds no text"),
    (["prepare", "empty.txt", "--out", "new"], "empty.txt holds no text"),
    (["train", "broken.txt"], "broken.txt"),
    (["train", "-"], "standard input holds no text"),
    (["train"], "give either a text or --data FOLDER"),
    ([*STORY, "--documents", "0"], "documents is 0"),
    ([*STORY, "--separator", "x"], "cannot part 'sample-story'"),
    # models and runs
    ([*STORY, "--model", "gtp2"], "unknown model 'gtp2': known names are gpt2, "),
    ([*STORY, "--model", "gtp2"], "did you mean 'gpt2'?"),
    ([*STORY, "--model", "mine"], "mine is a folder of weights: begin with it by --init-from mine"),
    ([*STORY, "--model", "laptop", "--init-from", "gpt2"], "--init-from gpt2 is not: give one"),
    ([*STORY, "--init-from", "gone"], "no run in gone: train one first"),
    (["generate", "--model", "gone", "--prompt", "x"], "no run in gone: train one first"),
    (["generate", "--model", "gpt2-madium", "--prompt", "x"], "did you mean 'gpt2-medium'?"),
    (["evaluate", "mime", "sample-story"], "did you mean 'mine'?"),
    (["plot", "mime"], "no run in mime: train one first (python -m gptlib train); did you mean"),
    (["export", "mime", "new"], "did you mean 'mine'?"),
    (["plot", "mine"], "no metrics in"),
    (["generate", "--model", "mine", "--prompt", "x"], "no checkpoint"),
    (["generate", "--model", "gpt2", "--prompt", "x", "--checkpoint", "best"], "gpt2 is no run"),
    (["evaluate", "sample-story"], "give the model once, as RUN or as --model"),
    # settings
    ([*STORY, "--settings", "fats"], "unknown settings 'fats': known names are fast, "),
    ([*STORY, "--settings", "fats"], "did you mean 'fast'?"),
    ([*STORY, "--config", "gone.toml"], "gone.toml: No such file"),
    ([*STORY, "--config", "mine.toml"], "mine.toml: unknown key 'stpes': known keys are steps"),
    ([*STORY, "--config", "mine.toml"], "did you mean 'steps'?"),
    ([*STORY, "--seed", str(2**63)], "seed is 9223372036854775808"),
    ([*STORY, "--learning-rate", "inf"], "learning_rate is inf"),
    ([*STORY, "--learning-rate", "-1"], "learning rates -0.1 to -1"),
    ([*STORY, "--clip-norm", "inf"], "clip_norm is inf"),
    ([*STORY, "--tokens", "inf"], "tokens is inf: it must be a number above 0"),
    ([*STORY, "--steps", "0"], "steps is 0"),
    ([*STORY, "--steps", "5", "--tokens", "9"], "steps and tokens both"),
    ([*STORY, "--precision", "int8"], "invalid choice: 'int8'"),
    ([*STORY, "--n-heads", "3"], "does not split into 3 equal heads"),
    ([*STORY, "--tokenizer", "gone"], "gone"),
    ([*STORY, "--max-minutes", "0"], "--max-minutes 0.0 is not above 0"),
    ([*STORY, "--resume"], "--out RUN"),
    ([*STORY, "--out", "mine"], "mine exists: go on with its run (--resume)"),
    ([*STORY, "--device", "tpu"], "invalid choice: 'tpu'"),
    ([*STORY, "--device", "cuda"], "--device cuda, but PyTorch sees no such GPU"),
    # generate
    (["generate", "--model", "gpt2", "--prompt", ""], "the prompt is empty"),
    (["generate", "--model", "gpt2", "--prompt", "x", "--seed", str(2**63)], "--seed is"),
    (["generate", "--model", "gpt2", "--stream", "--num-return-sequences", "2"], "--stream"),
    (["push", "mine", "a/b"], "mine holds no config.json"),
]


@pytest.fixture
def place(gptlib, tmp_path):
    """A folder with little in it."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine.txt").write_text("some words")
    (tmp_path / "mine.toml").write_text("stpes = 3")
    (tmp_path / "empty.txt").touch()
    (tmp_path / "broken.txt").write_bytes(b"\xff\xfe\xff")
    return tmp_path


def contents(folder):
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


@pytest.mark.parametrize(("command", "words"), BAD, ids=[" ".join(command) for command, _ in BAD])
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_touched(gptlib, place, command, words):
    before = contents(place)
    code, _, err = gptlib(*command)
    assert code == 2 and words in err, err
    assert err.startswith("error: ") and err.count("\n") == 1
    left = {path for path in contents(place) if path.suffix != ".lock"}
    assert left == set(before)


WORDS = [*COMMANDS, "sample-story", "mine", "gone", "-", "", "hub:a/b", "\udcff", "نص", "x" * 300]
WORDS += ["0", "1", "-1", "2", "nan", "inf", "1e9", "9" * 20, "best", "gpt3", "fast", "a=b", "--"]


@pytest.mark.parametrize("seed", range(4))
def test_25_random_command_lines_each_end_without_a_traceback(typed, place, monkeypatch, seed):
    fuzz(typed, random.Random(seed), 25, monkeypatch)


@pytest.mark.long
def test_500_random_command_lines_end_without_a_traceback(typed, place, monkeypatch):
    fuzz(typed, random.Random(99), 500, monkeypatch)


def fuzz(typed, luck, times, monkeypatch):
    """Random words behind each command; whatever starts is short, and any error is one line."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    known = next(a for a in build_parser()._actions if a.dest == "command").choices
    for _ in range(times):
        name = luck.choice([*COMMANDS])
        words = [name, *(luck.choice(WORDS) for _ in range(luck.randint(0, 2)))]
        options = [option for a in known[name]._actions for option in a.option_strings]
        for _ in range(luck.randint(0, 4)):
            words += [
                luck.choice(options),
                *(luck.choice(WORDS) for _ in range(luck.randint(0, 1))),
            ]
        if name == "train":  # what does start is over at once
            words += ["--max-minutes", "1e-9", "--n-layers", "1", "--width", "8", "--n-heads", "1"]
            words += ["--evaluate-batches", "1", "--sample-every", "0"]
        code, _, err = typed(*words, stdin="a few words of a text")
        assert code in (0, 2) and "Traceback" not in err, (words, err)
        if code:
            lines = [line for line in err.splitlines() if not line.startswith("warning: ")]
            assert [line[:7] for line in lines] == ["error: "], (words, err)


# Streams


def run(*words, **streams):
    """A command in a process of its own, which may have odd streams."""
    command = [sys.executable, "-m", "gptlib", *map(str, words)]
    return subprocess.run(command, text=True, timeout=120, **streams)


@pytest.mark.parametrize("words", [["evaluate", "{}", "-"], ["generate", "--model", "{}"]])
def test_a_closed_standard_input_is_one_line(refused, story, words):
    words = [word.format(story[0]) for word in words]
    done = run(*words, capture_output=True, preexec_fn=lambda: os.close(0))
    refused((done.returncode, done.stdout, done.stderr), "standard input is closed")


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "{}", "sample-story"],
        ["generate", "--model", "{}", "--prompt", "The", "--max-new-tokens", "2"],
        ["train", "sample-story", "--print-settings"],
    ],
)
def test_no_room_for_the_output_is_one_line(story, words):
    words = [word.format(story[0]) for word in words]
    with open(FULL, "w") as full:
        done = run(*words, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    problem = "error: what was written: No space left on device: make room, or give another place"
    assert done.stderr.splitlines()[-1] == problem and done.stderr.count("error: ") == 1


def test_whoever_reads_may_stop_reading(story):
    words = ["generate", "--model", story[0], "--prompt", "The", "--stream"]
    command = [sys.executable, "-m", "gptlib", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode == 1 and b"Traceback" not in err and b"Exception" not in err


READ_ONLY = [
    ["train", "sample-story", "--steps", "1", "--out", "closed/new"],
    ["prepare", "sample-story", "--vocab-size", "300", "--out", "closed/new"],
    ["export", "{}", "closed/new"],
    ["plot", "{}", "--out", "closed"],
]


@pytest.mark.parametrize("words", READ_ONLY, ids=lambda words: words[0])
def test_a_folder_that_may_not_be_written_in_is_one_line(gptlib, place, story, monkeypatch, words):
    (place / "closed").mkdir()

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "closed/new")

    with monkeypatch.context() as patch:  # rights stop nobody who is root
        for name in ("mkdir", "open", "replace", "rename"):
            real = getattr(os, name)
            patch.setattr(
                os, name, lambda path, *a, real=real, **k: (
                    refuse() if "closed" in str(path) else real(path, *a, **k)
                ),
            )  # fmt: skip
        code, _, err = gptlib(*(word.format(story[0]) for word in words))
    assert code == 2 and err.count("\n") == 1 and "Permission denied" in err, err
    assert list((place / "closed").iterdir()) == []


def test_output_is_utf8_whatever_code_page_the_terminal_has(monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")  # knows no Arabic letter
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "argv", ["gptlib", "--help"])
    with pytest.raises(SystemExit):
        cli.main()
    assert out.encoding == "utf-8"


def test_a_name_that_is_no_utf8_is_printed_as_it_came(tmp_path, story):
    named = shutil.copytree(story[0], os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    done = subprocess.run(
        [sys.executable, "-m", "gptlib", "plot", named], capture_output=True, check=True
    )
    assert os.fsencode(named) in done.stdout
