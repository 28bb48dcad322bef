"""A run that is killed, at any moment and however often, ends as if it had not been.

Parameters, moments, random states, losses: everything equals an undisturbed run's, bit for bit.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="sessions are forked")

TINY = "--n-layers 1 --n-heads 2 --width 8 --context-length 16 --dropout 0.1 --batch-size 2"
OFTEN = "--steps 12 --checkpoint-every 2 --evaluate-every 3 --evaluate-batches 2 --sample-every 6"
COMMAND = f"sample-story --model laptop --tokenizer characters {TINY} {OFTEN}".split()

# Where sessions are killed, one after the other: [point, number of its call in that session], and
# which folders of an unfinished business each leaves.
POINTS = {
    "in the first checkpoint": [
        ("half a file", 1, ["part"]),
        ("after a file", 1, ["part"]),
        ("half the state", 1, ["part"]),
        ("after the state", 1, ["part"]),
        ("before the rename", 1, ["part"]),
        ("in the middle of deleting", 1, ["part"]),  # of what the one before has left
        ("half a row", 2, []),
        ("after the rename", 1, []),
    ],
    "in a later one": [
        ("after the rename", 2, []),
        ("half a file", 1, ["part"]),
        ("half the state", 1, ["part"]),
        ("before the rename", 1, ["part"]),
        ("in the middle of deleting", 1, ["part"]),
        ("before an old one loses its name", 1, []),
        ("after an old one lost its name", 1, ["part"]),
        ("half a row", 2, []),
        ("while metrics are cut back", 1, ["part"]),
    ],
    # After the first of these the newest checkpoint is damaged, so that it is written again.
    "in a replacement": [
        ("after the rename", 3, []),
        ("half a file", 1, ["part"]),
        ("after an old one lost its name", 1, ["old", "part"]),
        ("before deleting", 2, ["old"]),
    ],
}
UNASKED = ("--checkpoint-every", "0")  # no checkpoint but the signal's and the last one
SCENARIOS = {
    **{
        name: {
            "points": [(point, number) for point, number, _ in points],
            "spoil": name == "in a replacement",
        }
        for name, points in POINTS.items()
    },
    "by chance": {"kind": "SIGKILL", "count": 5, "writing": 1},
    "SIGTERM": {"kind": "SIGTERM", "count": 2, "writing": 0, "options": UNASKED},
    "SIGINT": {"kind": "SIGINT", "count": 2, "writing": 0, "options": UNASKED},
}


def results_of(folder, arguments, scenarios):
    """Run the scenarios in one process that imports torch, with sessions forked from it."""
    plan = json.dumps({"folder": str(folder), "arguments": arguments, "scenarios": scenarios})
    script = Path(__file__).parent / "killed_run.py"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CI": "1", "GPTLIB_CORPORA": "bundled"}
    done = subprocess.run(
        [sys.executable, script], input=plan, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return results_of(tmp_path_factory.mktemp("runs"), COMMAND, SCENARIOS)


def check_equal(found, whole):
    """Assert that a run has come to what the undisturbed one has."""
    assert found["step"] == whole["step"]
    for what in ("tensors", "random states", "rows"):
        assert found[what] == whole[what], what
    assert all(name.startswith("step-") for name in found["folders"])
    assert found["leftovers"] == []


def test_the_undisturbed_run_is_worth_comparing_with(results):
    whole = results["whole"]
    losses = [row["loss"] for row in whole["rows"] if "loss" in row]
    assert whole["step"] == 12 and len(losses) == 12 == len(set(losses))
    assert len(whole["random states"]) == 12 and len(whole["tensors"]) > 40


@pytest.mark.parametrize("name", POINTS)
def test_a_kill_at_each_fixed_point_changes_nothing(results, name):
    found, points = results[name], POINTS[name]
    for kill, (point, _, leftovers) in zip(found["kills"], points, strict=True):
        assert (kill["code"], kill["leftovers"]) == (-9, leftovers), point
        assert not kill["damaged"] or name == "in a replacement", point
    assert [len(kill["damaged"]) for kill in found["kills"]][1:] == (
        [1, 0, 0] if name == "in a replacement" else [0] * (len(points) - 1)
    )
    check_equal(found, results["whole"])


def test_five_kills_by_chance_change_nothing(results):
    found = results["by chance"]
    assert [(kill["code"], kill["damaged"]) for kill in found["kills"]] == [(-9, [])] * 5
    for run in found["rounds"]:
        check_equal(run, results["whole"])


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_ends_a_session_at_a_step_with_a_checkpoint(results, name):
    """No step was lost, so none was done twice, and the next session went on from there."""
    for kill in results[name]["kills"]:
        steps, last, kept = kill["steps"]
        assert kill["code"] == 0 and steps == last == kept
    for run in results[name]["rounds"]:
        check_equal(run, results["whole"])


# The long version: pytest -m long -s tests/faults

LAPTOP = "sample-story --model laptop --tokenizer characters --batch-size 8 --steps 60"
LONG = f"{LAPTOP} --checkpoint-every 4 --evaluate-every 10 --sample-every 20".split()


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "count", "writing"), [("SIGKILL", 50, 15), ("SIGTERM", 15, 0), ("SIGINT", 15, 0)]
)
def test_many_kills_of_the_laptop_model_change_nothing(kind, count, writing, tmp_path):
    scenario = {"kind": kind, "count": count, "writing": writing}
    scenario |= {} if writing else {"options": UNASKED}
    found = results_of(tmp_path, LONG, {kind: scenario})
    kills = found[kind]["kills"]
    written = sum("part" in kill["leftovers"] for kill in kills)
    print(
        f"\n{len(kills)} × {kind}, {written} during a write, in {len(found[kind]['rounds'])} runs"
    )
    assert [kill["code"] for kill in kills] == [-9 if writing else 0] * count
    assert not any(kill["damaged"] for kill in kills)
    assert written > 0 or not writing  # how many, the disk's speed decides; fixed points prove it
    for kill in kills if not writing else []:
        steps, last, kept = kill["steps"]
        assert steps == last == kept
    for run in found[kind]["rounds"]:
        check_equal(run, found["whole"])
