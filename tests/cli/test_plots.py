"""Plots: the lines hold the run's own numbers, every label lies inside the picture."""

import itertools
import math
import os
import resource
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest

from gptcourse.reference_runs import Curve, Recording, over_band
from gptcourse.reference_runs.band import widened
from gptlib import plots
from gptlib.errors import ConfigError, GPTLibError
from gptlib.training.metrics import curve

LAYERS = ("embeddings", "block 1", "block 2", "final LayerNorm")
PEAK = {"peak_flops": 2.28e10, "peak_flops_source": "measured by a matrix product"}


def run(steps, clip_norm=1.0):
    """Rows as the trainer writes them; the numbers are made up, but none equals another."""
    rows = [{"model": {}, "training": {"clip_norm": clip_norm}, **PEAK}]
    for step in range(steps):
        norm = 4 * 0.9 ** (step % 40) + step / 1e4
        rows.append(
            {
                "step": step,
                "loss": 3 + 8 * 0.97**step + math.sin(9 * step) / 5,
                "learning_rate": 0.1 / (step + 1),
                "gradient_norm": norm,
                "clipped_norm": min(norm, clip_norm),
                "tokens": 256 * (step + 1),
                "tokens_per_second": 5_000 + step if step else 100,
                "utilization": 0.4 + step / 1e5 if step else 0.01,
                "peak_memory": (300 + step) << 20,
            }
        )
        if step % 3 == 0:
            rows[-1]["gradient_norms"] = {name: norm / 2**n for n, name in enumerate(LAYERS)}
    every = max(1, steps // 4)
    return rows + [{"step": s, "validation_loss": 6 + abs(s - 10)} for s in range(0, 21, every)]


ROWS = run(20)
SHORT, LONG = run(1), run(2_000)
BAND = {"first": [9.0, 8.0], "low": [8.9, 7.8], "high": [9.1, 8.4]}
RECORDING = Recording(
    **{"corpus": {"name": "the-verdict"}, "tokenizer": "gpt2", "model": {}, "training": {}},
    **{"device": "cpu", "dtype": "float32", "torch": "2.13.0", "seeds": [1, 2, 3]},
    tokens_per_step=512,
    block=2,
    loss=Curve(steps=[1, 3], **BAND),
    validation_loss=Curve(steps=[0, 5], **BAND),
    gradient_norm=Curve(steps=[1, 3], **BAND),
)

FIGURES = {
    "loss": plots.loss_curves,
    "loss, all options": lambda rows: plots.loss_curves(rows, 8.34, reference=RECORDING.rows),
    "loss over tokens": lambda rows: plots.loss_curves(rows, x="tokens"),
    "learning rate": plots.learning_rate,
    "gradient norms": plots.gradient_norms,
    "layers": plots.layer_heat_map,
    "throughput": plots.throughput,
    "memory": plots.memory,
    "comparison": lambda rows: plots.compare({"a": rows, "b": ROWS}),
    "band": lambda rows: over_band([*rows, *ROWS], RECORDING),
}


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def lines(figure, panel=0):
    return {line.get_label(): line.get_xydata().tolist() for line in figure.axes[panel].lines}


def without(key):
    return [{name: value for name, value in row.items() if name != key} for row in ROWS]


def points(rows, name, scale=1, unit=1):
    return [[scale * step, value / unit] for step, value in zip(*curve(rows, name), strict=True)]


# Loss


@pytest.mark.parametrize(("x", "own", "other"), [("steps", 1, 1), ("tokens", 256, 512)])
def test_the_lines_are_the_numbers_of_the_run_and_of_the_reference_behind(x, own, other):
    figure = plots.loss_curves(ROWS, 8.34, RECORDING.rows, "recorded", x)
    drawn = lines(figure)
    assert drawn["training"] == points(ROWS, "loss", own)
    assert drawn["validation"] == points(ROWS, "validation_loss", own)
    assert drawn["training, recorded"] == [[other, 9], [3 * other, 8]]
    assert drawn["validation, recorded"] == [[0, 9], [5 * other, 8]]
    assert [y for _, y in drawn["baseline"]] == [8.34, 8.34]
    assert drawn[f"lowest validation: 6.00 after {10 * own:,} {x}"][0][0] == 10 * own
    assert figure.axes[0].get_xlabel() == x


def test_a_long_noisy_curve_has_its_mean_over_it_and_keeps_its_numbers():
    rows = [*LONG, {"step": 2_000, "loss": None}]
    every, mean = (line.get_xydata() for line in plots.loss_curves(rows).axes[0].lines[:2])
    assert every[:-1].tolist() == points(LONG, "loss") and math.isnan(every[-1][1])  # a gap
    losses = curve(LONG, "loss")[1]
    assert mean[1_000][1] == pytest.approx(np.mean(losses[1_000 - 26 : 1_000 + 27]))
    assert mean[0][1] == pytest.approx(np.mean(losses[:27]))  # at the ends of fewer, never of zeros
    assert np.isfinite(mean[:1_974]).all() and np.isnan(mean[1_974:, 1]).all()


def test_compared_runs_have_a_color_each_and_validation_is_thicker():
    axes = plots.compare({"a": ROWS, "b": run(30)}).axes[0]
    drawn = {line.get_label(): line for line in axes.lines}
    for name, rows in (("a", ROWS), ("b", run(30))):
        training, validation = drawn[f"training, {name}"], drawn[f"validation, {name}"]
        assert training.get_xydata().tolist() == points(rows, "loss")
        assert validation.get_xydata().tolist() == points(rows, "validation_loss")
        assert training.get_color() == validation.get_color()
        assert training.get_linewidth() < validation.get_linewidth() / 2
    assert drawn["training, a"].get_color() != drawn["training, b"].get_color()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        *((name, name) for name in ("_base", "$a", "$x$", r"$\frac$", r"a\$b", "{a}", "%s", "نص")),
        ("a\x01\nb", "a��b"),
        (os.fsdecode(b"a\xff"), "a�"),  # bytes that are no UTF-8
    ],
    ids=ascii,
)
def test_the_legend_shows_any_name_that_the_file_system_takes(name, shown, tmp_path):
    with plt.rc_context({"svg.fonttype": "none"}):  # text stays text, not outlines
        path = plots.save(plots.compare({name: ROWS, "b": ROWS}), tmp_path / "comparison.svg")
    texts = [element.text for element in ElementTree.parse(path).iter() if element.text]
    assert {f"training, {shown}", f"validation, {shown}"} < set(texts)


# Norms and speed


def test_norms_stand_on_a_log_axis_with_the_limit_and_the_share_that_it_clips():
    figure = plots.gradient_norms(run(20, clip_norm=2.5))
    drawn = lines(figure)
    assert figure.axes[0].get_yscale() == "log"
    assert drawn["before clipping"] == points(run(20, 2.5), "gradient_norm")
    assert drawn["after clipping"] == points(run(20, 2.5), "clipped_norm")
    # 4 · 0.9^n is above 2.5 for n = 0 … 4: 5 steps of 20
    assert [y for _, y in drawn["limit 2.5: 25 % of the steps clipped"]] == [2.5, 2.5]


def test_the_heat_map_holds_each_layers_norm_at_its_step():
    figure = plots.layer_heat_map(ROWS)
    picture = figure.axes[0].collections[0]
    norms = [row["gradient_norms"] for row in ROWS if "gradient_norms" in row]
    assert picture.get_array().tolist() == [[row[name] for row in norms] for name in LAYERS]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(LAYERS)
    sides = picture.get_coordinates()[0, :, 0]
    assert sides.tolist() == [-1.5, 1.5, 4.5, 7.5, 10.5, 13.5, 16.5, 19.5]
    assert picture.norm.vmin == pytest.approx(min(min(row.values()) for row in norms))


def test_a_layer_without_gradient_is_white_and_48_blocks_do_not_write_over_each_other():
    deep = {f"block {n}": 0.0 if n == 3 else n + 1.0 for n in range(48)}
    figure = plots.layer_heat_map([{}, {"step": 0, "gradient_norms": deep}])
    axes = figure.axes[0]
    figure.canvas.draw()
    colors = axes.collections[0].get_facecolors()
    assert colors[3][3] == 0 and colors[4][3] == 1  # transparent, opaque
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert not any(one.overlaps(other) for one, other in itertools.pairwise(boxes))


def test_speed_and_share_have_a_panel_each_and_the_first_step_is_left_out_of_the_medians():
    figure = plots.throughput(ROWS)
    speed, share = lines(figure, 0), lines(figure, 1)
    assert speed["first step, left out"] == [[0, 100]]
    assert speed["_child0"] == points(ROWS, "tokens_per_second")[1:]
    assert [y for _, y in speed["median 5,010 tokens/s"]] == [5_010, 5_010]
    assert "median 40.0 %" in share
    assert "peak 0.0228 TFLOP/s: measured by a matrix product" in figure.axes[1].get_xlabel()
    assert share["first step, left out"] == [[0, 1]]  # percent


def test_memory_is_drawn_in_gib_from_zero():
    axes = plots.memory(run(20)).axes[0]
    assert axes.lines[0].get_xydata().tolist() == points(ROWS, "peak_memory", unit=2**30)
    assert axes.get_ylim() == pytest.approx((0, 1.08 * 319 / 1024))


# A run over a band


def test_the_band_is_the_one_that_judges_and_points_outside_wear_a_ring():
    rows = [
        {},
        *({"step": s, "loss": 9.0 - 4 * (s > 1), "gradient_norm": 8.0} for s in range(4)),
    ]
    figure = over_band(rows, RECORDING)
    assert lines(figure)["this run"] == [[1, 9], [3, 5]]  # means of two steps, as recorded
    assert lines(figure)["outside"] == [[3, 5]]
    wide = figure.axes[0].collections[0].get_datalim(figure.axes[0].transData)
    low, high = widened("loss", RECORDING.loss)
    assert (wide.y0, wide.y1) == pytest.approx((min(low), max(high)))
    assert len(figure.axes) == 2 and figure.axes[1].get_yscale() == "log"  # nothing validated


# Every figure


@pytest.mark.parametrize("rows", [SHORT, ROWS, LONG], ids=["1 step", "20 steps", "2,000 steps"])
@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_every_figure_is_labelled_and_nothing_is_clipped_or_covered(draw, rows):
    figure = draw(rows)
    axes = figure.axes
    assert axes[0].get_title() and all(panel.get_ylabel() for panel in axes)
    assert any(panel.get_xlabel() for panel in axes)
    figure.canvas.draw()
    needed, page = figure.get_tightbbox(), figure.bbox_inches
    assert needed.x0 >= 0 and needed.y0 >= 0
    assert needed.x1 <= page.width and needed.y1 <= page.height
    title = axes[0].title.get_window_extent()
    own = [panel.get_legend() for panel in axes if panel.get_legend()]
    for legend in [*figure.legends, *own]:
        box = legend.get_window_extent()
        assert not any(box.overlaps(panel.get_window_extent()) for panel in axes)
        assert not box.overlaps(title)
    ticks = [label.get_text() for label in axes[0].get_xticklabels()]
    assert len(set(ticks)) == len(ticks) and "−0" not in ticks


@pytest.mark.parametrize(
    ("draw", "rows", "words"),
    [
        *((draw, without(key), f"no row holds '{key}'") for key, draw in plots.FIGURES.values()),
        (plots.gradient_norms, without("gradient_norm"), "'gradient_norm'"),
        (plots.throughput, without("tokens_per_second"), "'tokens_per_second'"),
        (plots.memory, [{"step": 0, "peak_memory": None}], "'peak_memory'"),  # as Windows has it
        (lambda rows: plots.compare({"a": ROWS, "b": rows}), without("loss"), "'loss'"),
        (lambda rows: over_band(rows, RECORDING), without("loss"), "'loss'"),
        (lambda rows: plots.loss_curves(rows, x="hours"), ROWS, "'steps' or 'tokens'"),
        (lambda rows: plots.compare({"a": rows}), ROWS, "1 runs: draw 2 to 7"),
        (plots.layer_heat_map, [{"step": 0, "gradient_norms": {"block 1": 0}}], "gradient is zero"),
        (lambda rows: plots.save_all(rows, "a"), [{"model": {}}], "nothing to draw yet"),
        (lambda rows: plots.save_all(rows, "a", "bmp"), ROWS, r"use \.png, \.pdf or \.svg"),
    ],
)
def test_impossible_figures_are_refused(draw, rows, words):
    with pytest.raises(ConfigError, match=words):
        draw(rows)


# Files


@pytest.mark.parametrize(
    ("kind", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?x")]
)
def test_all_figures_that_the_metrics_allow_are_written_and_closed(kind, start, tmp_path):
    paths = plots.save_all(ROWS, tmp_path / "new", kind)
    names = ("loss", "loss-over-tokens", "learning-rate", "gradient-norms", "layer-norms")
    names = [f"{name}.{kind}" for name in (*names, "throughput", "memory")]
    assert [path.name for path in paths] == names and set(paths) == set(paths[0].parent.iterdir())
    assert all(path.read_bytes().startswith(start) for path in paths)
    assert not plt.get_fignums()


def test_what_was_not_measured_is_left_out(tmp_path):
    bare = [{"step": 0, "loss": 3.0, "peak_memory": None}]
    assert [path.name for path in plots.save_all(bare, tmp_path)] == ["loss.png"]


def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path):
    path = tmp_path / "loss.png"
    path.write_text("before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
    try:
        with pytest.raises(GPTLibError, match=r"^.*loss\.png: File too large: make room .*$"):
            plots.save(plots.loss_curves(ROWS), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == [path] and path.read_text() == "before"
    assert not plt.get_fignums()


def test_drawing_leaves_the_readers_own_style_alone():
    before = dict(plt.rcParams)
    plots.loss_curves(ROWS)
    assert dict(plt.rcParams) == before
