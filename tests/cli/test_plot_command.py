"""plot on the command line: from folders of runs to files."""

import json

import pytest

from gptlib.commands.runs import labels
from gptlib.errors import ConfigError

ABOUT = {
    **{"model": {}, "training": {"steps": 8, "clip_norm": 1.0, "seed": 1}, "device": "cpu"},
    **{"dtype": "float32", "corpus": {"name": "a", "fingerprint": "b"}, "tokenizer": "gpt2"},
    "environment": {"torch": "2.13.0"},
}


def rows(height):
    steps = [
        {"step": s, "loss": height - s / 9, "gradient_norm": 2.0, "clipped_norm": 1.0, "tokens": s}
        for s in range(1, 9)
    ]
    return [ABOUT, *steps, {"step": 8, "validation_loss": height}]


@pytest.fixture
def runs(tmp_path):
    for name, height in (("first", 5.0), ("second", 6.0)):
        (tmp_path / name).mkdir()
        lines = [json.dumps(row) + "\n" for row in rows(height)]
        (tmp_path / name / "metrics.jsonl").write_text("".join(lines))
    return [tmp_path / "first", tmp_path / "second"]


@pytest.fixture
def call(typed):
    """Return the lines that a command prints."""

    def run(*words):
        code, out, err = typed(*words)
        assert code == 0, err
        return out.splitlines()

    return run


def test_plot_writes_what_the_metrics_allow_beside_the_run_and_prints_the_paths(call, runs):
    printed = call("plot", runs[0])
    names = ("loss", "loss-over-tokens", "gradient-norms")  # no rate, layers or speed was measured
    assert printed == [str(runs[0] / "figures" / f"{name}.png") for name in names]
    assert sorted(map(str, (runs[0] / "figures").iterdir())) == sorted(printed)


def test_two_runs_are_drawn_each_for_itself_and_over_each_other(call, runs, tmp_path):
    printed = call("plot", *runs, "--out", tmp_path / "out", "--format", "svg")
    assert str(tmp_path / "out" / "first" / "loss.svg") in printed
    assert str(tmp_path / "out" / "second" / "loss.svg") in printed
    assert printed[-1] == str(tmp_path / "out" / "comparison.svg")
    text = (tmp_path / "out" / "comparison.svg").read_text()
    assert "training, first" in text and "validation, second" in text
    assert not (runs[0] / "figures").exists()


def test_runs_are_told_apart_by_the_folder_above_where_their_names_are_alike(runs):
    assert labels([runs[0], runs[1]]) == ["first", "second"]
    twins = [runs[0] / "run", runs[1] / "run"]
    assert labels(twins) == ["first-run", "second-run"]
    with pytest.raises(ConfigError, match="give each run once"):
        labels([runs[0], runs[0]])


def test_a_run_without_a_step_has_nothing_to_draw(typed, refused, runs):
    (runs[0] / "metrics.jsonl").write_text(json.dumps(ABOUT) + "\n")
    refused(typed("plot", runs[0]), "nothing to draw yet")
