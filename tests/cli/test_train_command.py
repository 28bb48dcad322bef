"""``train`` as it is typed: a run that can be used, stopped, gone on with and made longer."""

import os
import shutil
import signal
import tomllib

import pytest
import torch

from gptlib.config import GPTConfig, load_training_config
from gptlib.model import GPT
from gptlib.training.checkpoint import load_model
from gptlib.training.metrics import curve, read_metrics
from gptlib.training.trainer import Trainer

STORY = ["train", "sample-story"]
MODEL = "model.safetensors"


def weights(run, step):
    return (run / "checkpoints" / f"step-{step:08d}" / MODEL).read_bytes()


def test_training_keeps_a_run_and_says_how_to_use_it(story, typed):
    run, said = story
    assert (run / "checkpoints" / "step-00000008" / "state.json").is_file()
    assert "best     validation loss" in said and f'--model "{run}"' in said
    words = said.split("--prompt ")[1].strip().strip('"')  # of the text itself
    assert words and typed("generate", "--model", run, "--prompt", words)[0] == 0


def test_a_run_is_never_overwritten_but_can_be_resumed(gptlib, quick, tmp_path):
    command = [*STORY, *quick, "--steps", "3", "--out", "run"]
    assert gptlib(*command)[0] == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    code, _, err = gptlib(*command)
    assert code == 2 and "--resume" in err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    code, said, _ = gptlib(*command, "--resume")
    assert code == 0 and "all 3 steps were trained before: --steps 6, in place of" in said


def test_settings_are_the_name_then_the_file_then_the_options(gptlib, quick, tmp_path):
    (tmp_path / "mine.toml").write_text("steps = 3\nlearning_rate = 2e-3\nwarmup_steps = 1")
    command = [*STORY, *quick, "--config", "mine.toml", "--warmup-steps", 2, "--out", "run"]
    code, out, _ = gptlib(*command)
    assert code == 0
    for resolved in ("steps 3 ", "learning_rate 0.002 ", "warmup_steps 2 ", "batch_size 8 "):
        assert resolved in out
    kept = tomllib.loads((tmp_path / "run" / "settings.toml").read_text())
    assert (kept["steps"], kept["warmup_steps"], kept["min_learning_rate"]) == (3, 2, 0.0002)


@pytest.mark.parametrize("options", [["--settings", "algerian"], ["--steps", "7", "--seed", "5"]])
def test_printed_settings_are_a_file_of_the_same_settings_and_nothing_is_trained(
    gptlib, tmp_path, options
):
    code, said, err = gptlib(*STORY, *options, "--model", "tiny", "--print-settings")
    assert code == 0 and err == "" and list(tmp_path.iterdir()) == []
    assert said.startswith("# model tiny: vocab_size 50257 · context_length 128")
    (tmp_path / "printed.toml").write_text(said)
    chosen = dict(zip((o[2:] for o in options[::2]), options[1::2], strict=True))
    name = chosen.pop("settings", "fast")
    meant = load_training_config(name, None, {key: int(value) for key, value in chosen.items()})
    assert load_training_config("slow", tmp_path / "printed.toml") == meant


def test_a_warm_up_longer_than_the_run_is_said(gptlib, quick):
    code, said, _ = gptlib(*STORY, *quick, "--steps", "3", "--out", "run")
    assert (
        code == 0 and "the warm-up of 10 steps is longer than the run: its peak is 0.0003" in said
    )
    assert "warm-up of" not in gptlib(*STORY, *quick, "--warmup-steps", "3", "--steps", "3")[1]


# A longer run than was planned


def rates(run):
    return curve(read_metrics(run), "learning_rate")[1]


def test_an_extended_run_is_the_longer_run_with_the_same_schedule_bit_for_bit(
    gptlib, quick, tmp_path
):
    command = [*STORY, *quick, "--warmup-steps", "1", "--learning-rate", "0.01", "--steps"]
    assert gptlib(*command, 4, "--out", "run")[0] == 0
    first = rates(tmp_path / "run")
    code, said, err = gptlib(*command, 6, "--out", "run", "--resume")
    assert code == 0, err
    words = (
        "from 4 to 6 steps: the rate falls until step 4, as was planned, and is 0.001 at the end"
    )
    assert words in said
    assert gptlib(*command, 8, "--out", "run", "--resume")[0] == 0  # and longer still
    assert gptlib(*command, 8, "--out", "run", "--resume")[0] == 0  # finished: nothing to do
    assert gptlib(*command, 8, "--schedule-steps", 4, "--out", "whole")[0] == 0
    assert rates(tmp_path / "run") == rates(tmp_path / "whole") == [*first, *[0.001] * 4]
    assert weights(tmp_path / "run", 8) == weights(tmp_path / "whole", 8)


def test_a_run_that_died_before_its_first_checkpoint_takes_the_new_schedule(gptlib, quick):
    command = [*STORY, *quick, "--out", "run", "--steps"]
    assert gptlib(*command, 4)[0] == 0
    shutil.rmtree("run/checkpoints")
    code, said, err = gptlib(*command, 6, "--resume")
    assert code == 0 and "from 4 to 6" not in said, err


def test_a_run_is_neither_made_shorter_nor_given_another_schedule(gptlib, quick, refused):
    command = [*STORY, *quick, "--out", "run", "--steps"]
    assert gptlib(*command, 4)[0] == 0
    for options in ([3], [6, "--schedule-steps", 6], [6, "--learning-rate", 0.5]):
        code, _, err = gptlib(*command, *options, "--resume")
        assert code == 2 and " was " in err and "begin another run" in err


# Weights to begin with


ONCE = ["--steps", "1", "--evaluate-batches", "1", "--sample-every", "0", "--learning-rate", "1e-9"]


def begun(gptlib, name, *options):
    """The model of a run whose only step is too small to move it."""
    code, said, err = gptlib(*STORY, "--init-from", name, *ONCE, *options, "--out", "begun")
    assert code == 0, err
    return load_model("begun")[0].state_dict(), said


def test_training_begins_with_the_weights_of_a_run_and_windows_may_be_shorter(gptlib, story):
    found, said = begun(gptlib, story[0], "--context-length", "8")
    assert f"model    {story[0]}, step 8, the last of 3 kept" in said
    for name, tensor in load_model(story[0])[0].state_dict().items():
        torch.testing.assert_close(found[name], tensor, atol=1e-6, rtol=0)
    first = read_metrics("begun")[0]
    assert first["began_with"] == "story" and first["model"]["context_length"] == 16
    assert next(row["tokens"] for row in read_metrics("begun") if "tokens" in row) == 8 * 8


def test_training_begins_with_openais_weights(gptlib, quick, monkeypatch):
    asked = []

    def released(name, mapped):
        asked.append((name, mapped))
        return GPT(GPTConfig(context_length=16, n_layers=1, n_heads=1, width=4), seed=5)

    monkeypatch.setattr("gptlib.commands.inputs.load_openai", released)
    found, said = begun(gptlib, "gpt2")
    assert asked == [("gpt2", False)] and "model    OpenAI's gpt2: " in said
    assert found["token_embedding.weight"].shape == (50_257, 4)


@pytest.mark.parametrize("options", [["--n-layers", "2"], ["--context-length", "17"]])
def test_weights_keep_their_shape(gptlib, story, options):
    code, _, err = gptlib(*STORY, "--init-from", story[0], *ONCE, *options, "--out", "begun")
    assert code == 2 and err.count("\n") == 1
    assert "has its own shape" in err and f": leave {' '.join(options)} out" in err


def test_a_text_comes_from_standard_input_too(gptlib, quick):
    code, said, err = gptlib(
        "train", "-", *quick, "--steps", "1", stdin="to be or not to be, " * 90
    )
    assert code == 0 and "corpus   standard-input: " in said, err


# Ending early


@pytest.fixture
def signal_at_step_2(monkeypatch):
    """Let signals arrive while step 2 is computed."""

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
    gptlib, quick, signal_at_step_2, tmp_path, number
):
    command = [*STORY, *quick, "--steps", 4]
    assert gptlib(*command, "--out", "whole")[0] == 0
    command += ["--resume", "--out", "run"]
    signal_at_step_2(number)
    code, out, _ = gptlib(*command)
    assert code == 0 and "after step 3 of 4" in out and "--resume goes on" in out
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["step-00000003"]
    code, out, _ = gptlib(*command)
    assert code == 0 and "kept" not in out
    assert weights(tmp_path / "run", 4) == weights(tmp_path / "whole", 4)


def test_a_second_ctrl_c_aborts_at_once(gptlib, quick, signal_at_step_2, tmp_path):
    signal_at_step_2(signal.SIGINT, signal.SIGINT)
    assert gptlib(*STORY, *quick, "--steps", 4, "--out", "run")[0] == 130
    assert not (tmp_path / "run/checkpoints").exists()


def test_a_session_ends_in_time_and_the_same_command_goes_on(gptlib, quick):
    command = [*STORY, *quick, "--epochs", "0.02", "--out", "run", "--resume", "--max-minutes"]
    code, out, _ = gptlib(*command, "1e-9")
    assert code == 0 and "--resume goes on" in out and "minutes are over" in out
    code, out, _ = gptlib(*command, "5")
    assert code == 0 and "kept" not in out


def test_room_is_looked_for_before_the_first_step(gptlib, quick, refused, monkeypatch, tmp_path):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("", (), {"free": 10})())
    code, _, err = gptlib(*STORY, *quick, "--out", "run")
    assert code == 2 and "a checkpoint needs" in err and not (tmp_path / "run").exists()


def test_a_device_can_be_chosen(gptlib, quick, monkeypatch):
    monkeypatch.setenv("GPTLIB_DEVICE", "mps")  # the option is nearer
    code, said, err = gptlib(*STORY, *quick, "--steps", "1", "--device", "cpu")
    assert code == 0 and "device   cpu, float32 (--device cpu)" in said, err
