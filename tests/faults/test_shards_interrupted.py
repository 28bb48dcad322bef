"""A run over shards that is killed, or shared by two processes, is still the same run."""

import os
import subprocess
import sys

import pytest
from shard_texts import prepared_folder
from test_kills import OFTEN, TINY, check_equal, results_of

from gptlib.training.metrics import curve, read_metrics

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="sessions are forked")

POINTS = [("after a file", 2), ("half a row", 9), ("half the state", 1), ("after the rename", 2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return prepared_folder(tmp_path_factory.mktemp("data") / "prepared")


@pytest.fixture(scope="module")
def results(folder, tmp_path_factory):
    arguments = f"--data {folder} --model laptop {TINY} {OFTEN} --accumulation 2".split()
    scenarios = {"kills": {"points": POINTS}}
    return results_of(tmp_path_factory.mktemp("runs"), arguments, scenarios)


def test_kills_at_fixed_points_change_nothing(results):
    killed, whole = results["kills"], results["whole"]
    assert [kill["code"] for kill in killed["kills"]] == [-9] * len(POINTS)
    assert whole["step"] == 12
    check_equal(killed, whole)


def two_processes(folder, run):
    """Train on the folder with two processes; return the exit code and the errors."""
    options = f"--data {folder} --model laptop {TINY} {OFTEN} --accumulation 2 --out {run}"
    torchrun = "-m torch.distributed.run --standalone --local-addr=127.0.0.1 --nproc-per-node=2"
    command = [sys.executable, *torchrun.split(), "-m", "gptlib", "train"]
    done = subprocess.run([*command, *options.split()], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stderr


def test_two_processes_over_one_folder_have_the_losses_of_one(folder, results, tmp_path):
    code, errors = two_processes(folder, tmp_path / "run")
    assert code == 0, errors
    alone = [row["loss"] for row in results["whole"]["rows"] if "loss" in row]
    rows = read_metrics(tmp_path / "run")
    assert curve(rows, "loss")[1] == pytest.approx(alone, abs=1e-6)
    assert rows[0]["environment"]["processes"] == 2
