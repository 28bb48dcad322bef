"""The command line: help that starts fast, one-line errors, and a run that can be used."""

import io
import os
import shutil
import signal
import subprocess
import sys
import tomllib

import pytest

from gptlib import cli

QUICK = ["--tokenizer", "characters", "--context-length", "16", "--sample-every", "0"]


@pytest.fixture
def gptlib(monkeypatch, capsys):
    """Run a command in this process; return its exit code, output and errors."""

    def run(*arguments, stdin=None):
        monkeypatch.setattr(sys, "argv", ["gptlib", *map(str, arguments)])
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        try:
            cli.main()
            exit_code = 0
        except SystemExit as stop:
            exit_code = stop.code or 0
        said = capsys.readouterr()
        return exit_code, said.out, said.err

    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of a few steps on characters, made by the command itself."""
    run = tmp_path_factory.mktemp("runs") / "story"
    command = ["train", "sample-story", *QUICK, "--steps", "4", "--out", str(run)]
    done = subprocess.run(
        [sys.executable, "-m", "gptlib", *command], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return run, done.stdout


@pytest.mark.parametrize("command", [[], ["train"], ["generate"]])
def test_help_is_there_for_every_command(gptlib, command):
    exit_code, out, _ = gptlib(*command, "--help")
    assert exit_code == 0 and out.startswith(f"Usage: {' '.join(['python -m gptlib', *command])} ")


def test_training_keeps_a_run_and_says_how_to_use_it(trained):
    run, said = trained
    assert (run / "checkpoints" / "step-00000004" / "state.json").is_file()
    assert "validation loss" in said and f'--model "{run}"' in said


def test_the_same_seed_writes_the_same_text(gptlib, trained):
    command = ["generate", "--model", trained[0], "--prompt", "The ", "--max-new-tokens", 5]
    exit_code, out, _ = gptlib(*command, "--seed", 1)
    assert exit_code == 0 and out.startswith("The ") and len(out) == len("The ") + 5 + 1
    assert gptlib(*command, "--seed", 1)[1] == out
    assert gptlib(*command, "--seed", 2)[1] != out


def test_several_texts_are_parted(gptlib, trained):
    command = ["generate", "--model", trained[0], "--num-return-sequences", 3, "--seed", 1]
    _, out, _ = gptlib(*command, "--max-new-tokens", 3, stdin="From a pipe\n")
    assert [text[:11] for text in out.split("\n---\n")] == ["From a pipe"] * 3


def test_a_stream_joins_to_the_same_text(gptlib, trained):
    command = ["generate", "--model", trained[0], "--prompt", "The ", "--seed", 1]
    assert gptlib(*command, "--stream")[1] == gptlib(*command)[1]


def test_a_run_is_never_overwritten_but_can_be_resumed(gptlib, trained):
    run, _ = trained
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    command = ["train", "sample-story", *QUICK, "--steps", "4", "--out", run]
    exit_code, _, err = gptlib(*command)
    assert exit_code == 2 and "--resume" in err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert gptlib(*command, "--resume")[0] == 0


def test_a_folder_that_is_no_run_is_left_alone(gptlib, tmp_path):
    exit_code, _, err = gptlib("train", "sample-story", *QUICK, "--out", tmp_path)
    assert exit_code == 2 and "give another folder" in err and list(tmp_path.iterdir()) == []


BAD = [
    (["train", "no-such-corpus"], "no corpus 'no-such-corpus'"),
    (["train", ""], "the corpus has an empty name"),
    (["train", "sample-story", *QUICK, "--out", "notebooks/01_bytes.ipynb/run"], "01_bytes.ipynb"),
    (["train", "sample-story", "--seed", str(2**63)], "seed is 9223372036854775808"),
    (["train", "sample-story", "--learning-rate", "inf"], "learning rates inf"),
    (["generate", "--model", ".", "--prompt", "x", "--seed", str(2**63)], "--seed"),
    (["train", "sample-story", "--model", "gpt9"], "unknown model 'gpt9'"),
    (["train", "sample-story", "--tokenizer", "gone"], "gone"),
    (["train", "sample-story", *QUICK[:2], "--context-length", "90000"], "the training part"),
    (["train", "sample-story", "--steps", "0"], "steps is 0"),
    (["train", "sample-story", "--steps", "5", "--tokens", "9"], "steps and tokens both"),
    (["train", "sample-story", *QUICK, "--tokens", "9"], "tokens 9 do not pay for one step"),
    (["train", "sample-story", "--settings", "quick"], "unknown settings 'quick'"),
    (["train", "sample-story", "--config", "gone.toml"], "gone.toml"),
    (["train", "sample-story", "--precision", "int8"], "precision is 'int8'"),
    (["train", "sample-story", "--n-heads", "3"], "does not split into 3 equal heads"),
    (["train", "sample-story", "--max-minutes", "0"], "max_minutes is 0"),
    (["train", "sample-story", "--steps", "many"], "--steps"),
    (["train", "sample-story", "--learning-rate", "-1"], "learning rates -0.1 to -1"),
    (["train", "sample-story", "--resume"], "--out RUN"),
    (["train", "sample-story", "--optimizer", "sgd"], "--optimizer"),
    (["generate", "--model", "gone", "--prompt", "x"], "no run in gone"),
    (["generate", "--model", ".", "--prompt", "x"], "no checkpoint"),
    (["generate", "--model", ".", "--prompt", ""], "the prompt is empty"),
    (["generate", "--prompt", "x"], "--model"),
    (["generate", "--model", ".", "--prompt", "x", "--temperature", "-1"], "--temperature"),
    (["generate", "--model", ".", "--stream", "--num-return-sequences", "2"], "--stream"),
    (["fly"], "fly"),
]


@pytest.mark.parametrize(("command", "words"), BAD, ids=[" ".join(command) for command, _ in BAD])
def test_bad_input_is_a_clear_error_with_exit_code_2(gptlib, tmp_path, monkeypatch, command, words):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_bytes.ipynb").touch()
    monkeypatch.setenv("GPTLIB_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    exit_code, _, err = gptlib(*command)
    assert exit_code == 2 and words in err and "Traceback" not in err
    assert len(err.splitlines()) == 1 or err.startswith("Usage")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("setting", "value"), [("--top-p", "1.5"), ("--top-p", "-0.1"), ("--top-k", "0")]
)
def test_sampling_settings_are_checked(gptlib, trained, setting, value):
    command = ["generate", "--model", trained[0], "--prompt", "The ", setting, value]
    exit_code, out, err = gptlib(*command)
    assert exit_code == 2 and out == "" and "Traceback" not in err


def test_a_prompt_that_is_no_text_is_a_clear_error(gptlib, trained):
    exit_code, _, err = gptlib("generate", "--model", trained[0], "--prompt", "\ud800")
    assert exit_code == 2 and len(err.splitlines()) == 1


def test_a_broken_file_is_one_line_too(gptlib, tmp_path):
    (tmp_path / "broken.txt").write_bytes(b"\xff\xfe\xff")
    exit_code, _, err = gptlib("train", tmp_path / "broken.txt")
    assert exit_code == 2 and "broken.txt" in err and len(err.splitlines()) == 1


def test_a_damaged_run_is_a_clear_error(gptlib, trained, tmp_path):
    damaged = shutil.copytree(trained[0], tmp_path / "damaged")
    for file in damaged.rglob("model.safetensors"):
        file.write_bytes(file.read_bytes()[:-10])
    with pytest.warns(UserWarning, match=r"model\.safetensors"):
        exit_code, _, err = gptlib("generate", "--model", damaged, "--prompt", "The ")
    assert exit_code == 2 and "damaged" in err and "Traceback" not in err


@pytest.fixture
def signal_at_step_2(monkeypatch):
    """Let signals arrive while step 2 is computed."""
    from gptlib.training.trainer import Trainer

    def patch(*signals):
        def interrupted(self):
            if self.step == 2:
                for number in signals:
                    os.kill(os.getpid(), number)
            return update(self)

        update = Trainer.update
        monkeypatch.setattr(Trainer, "update", interrupted)

    return patch


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_training_saved_and_the_same_command_goes_on(
    gptlib, signal_at_step_2, tmp_path, number
):
    command = ["train", "sample-story", *QUICK, "--steps", 4]
    assert gptlib(*command, "--out", tmp_path / "whole")[0] == 0
    command += ["--resume", "--out", tmp_path / "run"]
    signal_at_step_2(number)
    exit_code, out, _ = gptlib(*command)
    assert exit_code == 0 and "after step 3 of 4" in out and "--resume goes on" in out
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["step-00000003"]
    exit_code, out, _ = gptlib(*command)
    assert exit_code == 0 and "kept" not in out
    same = "checkpoints/step-00000004/model.safetensors"
    assert (tmp_path / "run" / same).read_bytes() == (tmp_path / "whole" / same).read_bytes()


def test_a_second_ctrl_c_aborts_at_once(gptlib, signal_at_step_2, tmp_path):
    signal_at_step_2(signal.SIGINT, signal.SIGINT)
    command = ["train", "sample-story", *QUICK, "--steps", 4, "--out", tmp_path / "run"]
    assert gptlib(*command)[0] == 130
    assert not (tmp_path / "run/checkpoints").exists()


def test_a_session_ends_in_time_and_the_same_command_goes_on(gptlib, tmp_path):
    command = ["train", "sample-story", *QUICK, "--epochs", "0.02", "--out", tmp_path / "run"]
    exit_code, out, _ = gptlib(*command, "--resume", "--max-minutes", "1e-9")
    assert exit_code == 0 and "--resume goes on" in out and "minutes are over" in out
    exit_code, out, _ = gptlib(*command, "--resume", "--max-minutes", "5")
    assert exit_code == 0 and "kept" not in out


def test_settings_are_the_name_then_the_file_then_the_options(gptlib, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("steps = 3\nlearning_rate = 2e-3\nwarmup_steps = 1")
    command = ["train", "sample-story", *QUICK, "--config", file, "--warmup-steps", 2]
    exit_code, out, _ = gptlib(*command, "--out", tmp_path / "run")
    assert exit_code == 0
    for resolved in ("steps 3 ", "learning_rate 0.002 ", "warmup_steps 2 ", "batch_size 8 "):
        assert resolved in out
    kept = tomllib.loads((tmp_path / "run" / "settings.toml").read_text())
    assert (kept["steps"], kept["warmup_steps"], kept["min_learning_rate"]) == (3, 2, 0.0002)


def test_output_is_utf8_whatever_code_page_the_terminal_has(monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")  # knows no Arabic letter
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "argv", ["gptlib", "--help"])
    with pytest.raises(SystemExit):
        cli.main()
    assert out.encoding == "utf-8"
