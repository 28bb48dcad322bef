"""Several processes: the same curve as one, and no process left behind when another dies."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from small_run import CONFIG, trainer_of

from gptlib.errors import ConfigError
from gptlib.training import distributed
from gptlib.training.checkpoint import checkpoints, load_checkpoint
from gptlib.training.metrics import curve, read_metrics

pytestmark = pytest.mark.usefixtures("one_thread")

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1")
SCRIPT = Path(__file__).with_name("two_processes.py")


def two_processes(folder, task=-1):
    """What two processes do; return the exit code and the errors."""
    command = [sys.executable, *TORCHRUN, "--nproc-per-node=2", SCRIPT, folder, task]
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The losses of one process."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    return curve(trainer_of(folder, CONFIG).train(), "loss")[1]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """The finished run of two processes."""
    folder = tmp_path_factory.mktemp("together") / "run"
    exit_code, errors = two_processes(folder)
    assert exit_code == 0, errors
    return folder


def test_two_processes_have_the_losses_of_one(alone, together):
    rows = read_metrics(together)
    assert curve(rows, "loss")[1] == pytest.approx(alone, abs=1e-6)
    assert rows[0]["environment"]["processes"] == 2
    assert [row["step"] for row in rows if "loss" in row] == list(range(20))  # written once


def test_a_checkpoint_of_two_processes_goes_on_with_one(alone, together, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(together, folder)
    shutil.rmtree(checkpoints(folder)[-1])
    with pytest.warns(UserWarning, match="processes 2 → 1"):
        rows = trainer_of(folder, CONFIG).train(resume=True)
    assert curve(rows, "loss")[1] == pytest.approx(alone, abs=1e-6)


def test_when_one_process_is_killed_the_other_ends_and_a_fresh_start_resumes(together, tmp_path):
    folder = tmp_path / "run"
    exit_code, errors = two_processes(folder, 12)
    assert exit_code != 0 and "Signal 9" in errors
    killed = Path(f"{folder}-killed").stat().st_mtime
    assert time.time() - killed < 10  # the group's own patience is 30 minutes
    assert [path.name for path in checkpoints(folder)] == ["step-00000005", "step-00000010"]
    exit_code, errors = two_processes(folder)
    assert exit_code == 0, errors
    mine, whole = (load_checkpoint(run).tensors for run in (folder, together))
    for file in whole:
        assert all(torch.equal(mine[file][name], whole[file][name]) for name in whole[file])
    losses = [curve(read_metrics(run), "loss")[1] for run in (folder, together)]
    assert losses[0] == losses[1]


def test_processes_that_differ_are_refused_before_the_first_step(together, tmp_path):
    shutil.copytree(together, tmp_path / "run")
    exit_code, errors = two_processes(tmp_path / "run", "differ")
    assert exit_code == 0, errors
    for line in (
        "settings: training learning_rate is 0.01 in process 0 and 0.001 in process 1: start all",
        "text: the fingerprint of data is ",
        "weights: the hash of the parameters is ",
        "copy: the step is 20 in process 0 and 0 in process 1",
    ):
        assert errors.count(line) == 2  # each process says it


def test_micro_batches_that_cannot_be_shared_are_refused(monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 3)
    with pytest.raises(ConfigError, match="accumulation 2 cannot be shared by 3 processes"):
        trainer_of(None, CONFIG)


def test_alone_nothing_is_joined():
    distributed.setup()
    assert (distributed.rank(), distributed.world_size()) == (0, 1)
    assert distributed.any_process(True, torch.device("cpu"))
    assert not distributed.any_process(False, torch.device("cpu"))
    distributed.cleanup()
