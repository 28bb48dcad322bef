"""The two clinics: honest recordings, readable, drawn, and silent about their fault."""

import importlib.util
import io
import json
import math
from statistics import median

import matplotlib.pyplot as plt
import pytest
from PIL import Image

from gptcourse import paths
from gptcourse.exercises.checks import EXERCISES, judge
from gptcourse.exercises.diagnose import CURVES, OTHERWISE, load_clinic, three_curves
from gptlib.config import TrainingConfig
from gptlib.plots import TRAINING, VALIDATION, Picture
from gptlib.training.metrics import curve

pytestmark = pytest.mark.usefixtures("one_thread")

BOTH = pytest.mark.parametrize(
    ("name", "exercise"),
    [("clinic-05", EXERCISES["clinic_a"]), ("clinic-09", EXERCISES["clinic_b"])],
    ids=["a", "b"],
)


def causes_of(name, exercise):
    """The right cause of a clinic, and what else its known mistakes name."""
    clinic = load_clinic(name)
    right, *others = (
        rule(clinic.run, clinic.healthy) for rule in (exercise.right, *exercise.mistakes)
    )
    return right, set(others) - {right, OTHERWISE}


@pytest.fixture(scope="module")
def script():
    """The script that made the recordings."""
    spec = importlib.util.spec_from_file_location("clinics", paths.ASSETS / "clinics.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@BOTH
def test_a_clinic_has_every_curve_at_every_step_and_comes_back_as_it_was_written(
    name, exercise, script, tmp_path
):
    clinic = load_clinic(name)
    for rows in (clinic.run, clinic.healthy, *(rows for rows, _ in clinic.others)):
        for key in CURVES:
            assert curve(rows, key)[0] == list(range(clinic.about["training"]["steps"]))
        assert curve(rows, "validation_loss")[0] == list(range(0, 121, 10))
    script.save(clinic, tmp_path / "again.json")
    text = (paths.RECORDINGS / f"{name}.json").read_text(encoding="utf-8")
    assert (tmp_path / "again.json").read_text(encoding="utf-8") == text
    assert len(text) < 3_000 * (2 + len(clinic.others))


@BOTH
def test_neither_the_file_nor_the_speed_tells_the_fault(name, exercise):
    fields = json.loads((paths.RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))
    assert set(fields) == {"about", "same", "runs"}
    assert all(set(run) == {*CURVES, "looks", "validation_loss"} for run in fields["runs"])
    right, others = causes_of(name, exercise)
    assert len(others) == 6
    assert not [cause for cause in (right, *others) if cause in json.dumps(fields)]
    speeds = [median(run["tokens_per_second"]) for run in fields["runs"][:2]]
    assert speeds[0] == pytest.approx(speeds[1], rel=0.1)


@pytest.mark.parametrize(
    ("name", "change", "kinds"),
    [
        ("clinic-05", {}, ("CopiedTargets", "Run", "OneBatch", "LearnedValidation", "HalvedLoss")),
        ("clinic-09", {"seed": 1}, ("SummedGradients", "Run", "SummedLosses")),
    ],
)
def test_the_first_steps_of_the_recorded_runs_can_be_made_again(name, change, kinds, script):
    clinic = load_clinic(name)
    settings = script.SETTINGS.with_changes(**(script.GENTLER if change else {}), **change)
    assert TrainingConfig.from_dict(clinic.about["training"]) == settings
    assert clinic.about["corpus"]["fingerprint"] == script.corpus.fingerprint
    recorded = (clinic.run, clinic.healthy, *(rows for rows, _ in clinic.others[2:]))
    for kind, rows in zip(kinds, recorded, strict=True):
        fresh = getattr(script, kind)(settings).go_on(until=4)
        for key in ("loss", "gradient_norm"):
            assert curve(fresh, key)[1] == pytest.approx(curve(rows, key)[1][:4], rel=2e-3)
        seen = curve(fresh, "validation_loss")[1][0]
        assert seen == pytest.approx(curve(rows, "validation_loss")[1][0], abs=2e-3)


@BOTH
def test_the_check_tries_runs_with_and_without_the_fault_and_keeps_the_cause_to_itself(
    name, exercise
):
    expected = [exercise.right(*arguments) for _, arguments in exercise.cases()]
    right, others = causes_of(name, exercise)
    assert right != OTHERWISE and expected[:3] == [right, OTHERWISE, right]
    assert set(expected[3:]) == {OTHERWISE}
    assert len(expected) >= 2 + len(load_clinic(name).others)
    clinic = load_clinic(name)
    wrong_ones = [m for m in exercise.mistakes if m(clinic.run, clinic.healthy) in others]
    assert len(wrong_ones) >= 2 * len(others)  # said of every run, and by a rule
    assert not [m for m in wrong_ones if repr(right) in judge(exercise, m).message]


def test_a_name_that_is_not_in_the_table_is_told_the_names():
    message = judge(EXERCISES["clinic_b"], lambda run, healthy: "gradients added").message
    right, others = causes_of("clinic-09", EXERCISES["clinic_b"])
    names = ", ".join([*sorted([right, *others]), OTHERWISE])
    assert f"give one of {names}; came 'gradients added'" in message


@BOTH
def test_the_three_curves_of_both_runs_are_drawn(name, exercise):
    clinic = load_clinic(name)
    figure = three_curves(clinic.run, clinic.healthy, "a title")
    for axes, key in zip(figure.axes, CURVES, strict=True):
        drawn = [list(line.get_ydata()) for line in axes.lines[:2]]
        assert drawn == [curve(rows, key)[1] for rows in (clinic.healthy, clinic.run)]
        assert axes.get_ylabel()
    validation = [curve(rows, "validation_loss")[1] for rows in (clinic.healthy, clinic.run)]
    assert [list(line.get_ydata()) for line in figure.axes[0].lines[2:]] == validation
    assert [axes.get_yscale() for axes in figure.axes] == ["linear", "log", "linear"]
    assert figure.axes[0].get_title() == "a title"
    assert figure.axes[0].get_ylim()[0] == figure.axes[2].get_ylim()[0] == 0
    plt.close(figure)


def test_a_picture_is_small_and_has_the_colors_of_the_figure():
    clinic, open_before = load_clinic("clinic-09"), plt.get_fignums()
    picture = Picture(three_curves(clinic.run, clinic.healthy, "a title"), dpi=64)
    png = picture._repr_png_()
    assert len(png) < 20_000 and repr(picture) == "<Picture: a title>"
    assert plt.get_fignums() == open_before
    image = Image.open(io.BytesIO(png)).convert("RGB")
    assert image.size == (448, 416)
    for color in (TRAINING, VALIDATION):
        wanted = bytes.fromhex(color[1:])
        assert min(math.dist(wanted, found) for _, found in image.getcolors()) < 20, color
    assert any(min(found) > 225 and max(found) < 250 for _, found in image.getcolors())  # grid
