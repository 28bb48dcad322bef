"""Plots: the lines hold the run's own numbers, every label lies inside the picture."""

import matplotlib.pyplot as plt
import pytest

from gptlib import plots
from gptlib.errors import ConfigError
from gptlib.recordings import Recording
from gptlib.training.metrics import curve

ROWS = [
    {"model": {}},
    *(
        {"step": s, "loss": 10.8 * 0.9**s, "learning_rate": 0.1, "tokens": 256 * (s + 1)}
        for s in range(20)
    ),
    *({"step": s, "validation_loss": 6 + abs(s - 10) / 5} for s in range(0, 21, 5)),
]
RECORDING = Recording(
    corpus={"name": "the-verdict"},
    model={},
    training={},
    device="cpu",
    dtype="float32",
    torch="2.13.0",
    tokens_per_step=512,
    steps=[0, 1],
    losses=[9.0, 8.0],
    validation_steps=[0, 2],
    validation_losses=[9.5, 8.5],
)


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def lines(figure):
    return {line.get_label(): line.get_xydata().tolist() for line in figure.axes[0].lines}


def points(rows, name, scale=1):
    return [[scale * step, value] for step, value in zip(*curve(rows, name), strict=True)]


def test_the_lines_are_the_runs_own_numbers():
    drawn = lines(plots.loss_curves(ROWS, baseline=8.34))
    assert drawn["training"] == points(ROWS, "loss")
    assert drawn["validation"] == points(ROWS, "validation_loss")
    assert [y for _, y in drawn["baseline"]] == [8.34, 8.34]


def test_over_tokens_every_place_is_scaled_alike():
    figure = plots.loss_curves(ROWS, x="tokens")
    for name, key in (("training", "loss"), ("validation", "validation_loss")):
        assert lines(figure)[name] == points(ROWS, key, scale=256)
    assert figure.axes[0].get_xlabel() == "tokens"


def test_the_lowest_validation_is_marked():
    label = "lowest validation: 6.00 after 10 steps"
    assert [x for x, _ in lines(plots.loss_curves(ROWS))[label]] == [10, 10]
    assert label not in lines(plots.loss_curves(ROWS, mark_minimum=False))


def test_a_recording_is_drawn_behind_under_its_texts_name():
    drawn = lines(plots.loss_curves(ROWS, recording=RECORDING))
    assert drawn["training, recorded on the-verdict"] == [[0, 9], [1, 8]]
    assert drawn["validation, recorded on the-verdict"] == [[0, 9.5], [2, 8.5]]
    assert drawn["training"] == points(ROWS, "loss")


def test_an_unknown_axis_is_refused():
    with pytest.raises(ConfigError, match="'steps' or 'tokens'"):
        plots.loss_curves(ROWS, x="hours")


def test_the_learning_rate_takes_rates_or_rows():
    for rates in ([0.1] * 20, ROWS):
        (line,) = plots.learning_rate(rates).axes[0].lines
        assert line.get_xydata().tolist() == [[step, 0.1] for step in range(20)]


@pytest.mark.parametrize(
    "figure",
    [
        lambda: plots.loss_curves(ROWS, baseline=8.34, recording=RECORDING),
        lambda: plots.loss_curves(ROWS, x="tokens"),
        lambda: plots.learning_rate(ROWS),
    ],
)
def test_every_figure_is_labelled_and_nothing_is_clipped(figure):
    figure = figure()
    axes = figure.axes[0]
    assert axes.get_title() and axes.get_xlabel() and axes.get_ylabel()
    figure.canvas.draw()
    needed, page = figure.get_tightbbox(), figure.bbox_inches
    assert needed.x0 >= 0 and needed.y0 >= 0
    assert needed.x1 <= page.width and needed.y1 <= page.height
    for legend in figure.legends:
        assert not legend.get_window_extent().overlaps(axes.get_tightbbox())


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_saving_writes_the_file_and_closes_the_figure(tmp_path, suffix):
    path = plots.save(plots.learning_rate(ROWS), tmp_path / "new" / f"rate{suffix}")
    start = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[suffix]
    assert path.read_bytes().startswith(start)
    assert not plt.get_fignums()


def test_another_kind_of_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"use \.png, \.pdf or \.svg"):
        plots.save(plots.learning_rate(ROWS), tmp_path / "rate.bmp")


def test_drawing_leaves_the_readers_own_style_alone():
    before = dict(plt.rcParams)
    plots.loss_curves(ROWS)
    assert dict(plt.rcParams) == before
