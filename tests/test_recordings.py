"""Recordings: a run's curves, small, and the same when they come back."""

import json
import subprocess
import sys

import pytest

from gptlib import paths
from gptlib.errors import CheckpointError, GPTLibError
from gptlib.recordings import load_recording, record
from gptlib.training.metrics import curve

ABOUT = {
    "model": {"width": 64},
    "parameters": 7,
    "training": {"steps": 3},
    "device": "cpu",
    "dtype": "float32",
    "corpus": {"name": "the-verdict", "fingerprint": "ab"},
    "fingerprints": {},
    "environment": {"torch": "2.13.0", "threads": 2},
}
ROWS = [
    ABOUT,
    {"step": 0, "validation_loss": 10.84321987},
    *({"step": step, "loss": 9.123456 - step, "tokens": 256 * (step + 1)} for step in range(3)),
    {"step": 2, "text": "once"},
    {"step": 3, "validation_loss": 7.5},
]


@pytest.fixture
def run(tmp_path):
    lines = [json.dumps(row) + "\n" for row in ROWS]
    (tmp_path / "metrics.jsonl").write_text("".join(lines))
    return tmp_path


def test_a_recording_comes_back_as_it_was_written(run, tmp_path):
    recording = record(run, tmp_path / "05.json")
    assert load_recording(tmp_path / "05.json") == recording
    assert recording.losses == [9.1235, 8.1235, 7.1235] and recording.steps == [0, 1, 2]
    assert recording.validation_losses == [10.8432, 7.5] and recording.validation_steps == [0, 3]
    assert recording.corpus == ABOUT["corpus"] and recording.torch == "2.13.0"


def test_its_rows_have_the_form_of_metrics(run, tmp_path):
    rows = record(run, tmp_path / "05.json").rows
    assert curve(rows, "tokens") == curve(ROWS, "tokens")
    assert curve(rows, "validation_loss")[0] == [0, 3]


def test_the_file_is_compact(run, tmp_path):
    record(run, tmp_path / "05.json")
    assert len((tmp_path / "05.json").read_text().splitlines()) == 13  # one a field, and braces


def test_every_bundled_recording_can_be_read():
    for path in paths.RECORDINGS.glob("*.json"):
        recording = load_recording(path.stem)
        assert len(recording.steps) == recording.training["steps"]


def test_an_unknown_or_damaged_recording_is_named(run, tmp_path):
    with pytest.raises(GPTLibError, match="no recording 'nothing'"):
        load_recording("nothing")
    (tmp_path / "bad.json").write_text('{"steps": []}')
    with pytest.raises(GPTLibError, match=r"bad\.json is no recording"):
        load_recording(tmp_path / "bad.json")
    with pytest.raises(CheckpointError, match="no metrics in"):
        record(tmp_path / "nowhere", tmp_path / "x.json")


def test_recordings_and_plots_need_no_torch():
    code = "import sys, gptlib.plots, gptlib.recordings; print('torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
