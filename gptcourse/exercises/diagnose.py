"""Broken runs: recorded curves with one hidden fault, and what their two exercises share.

A clinic is a run with a fault, a healthy one under the same settings, and a few others on which a
rule is tried: the fault with another seed, a healthy run with another seed, and other faults.
The runs were really made, by ``assets/clinics.py``.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from gptcourse import paths
from gptcourse.exercises.exercise import Case, Function
from gptlib.plots import REFERENCE, STYLE, TRAINING, VALIDATION, axis_of_steps, log_axis, points
from gptlib.training.metrics import Row

CURVES = {  # by their names in the rows, how the figure calls them
    "loss": "loss\n(nats per character)",
    "gradient_norm": "gradient norm\n(log)",
    "tokens_per_second": "tokens\nper second",
}
OTHERWISE = "something else"  # what a rule says of a run without its fault


@dataclass(frozen=True)
class Clinic:
    """The recorded runs; rows have the form of ``metrics.jsonl``."""

    about: dict[str, Any]  # text and settings, the same for all runs, and where they were made
    run: list[Row]  # with the fault
    healthy: list[Row]
    others: list[tuple[list[Row], bool]]  # each with whether it has the fault of `run`


def load_clinic(name: str) -> Clinic:
    """Read a clinic from ``assets/recordings/``, such as ``clinic-05``."""
    fields = json.loads((paths.RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))
    run, healthy, *others = map(rows_of, fields["runs"])
    return Clinic(fields["about"], run, healthy, list(zip(others, fields["same"], strict=True)))


def rows_of(kept: dict[str, list[float]]) -> list[Row]:
    """Rows as a run's metrics hold them, of the curves as the file holds them."""
    updates = enumerate(zip(*(kept[name] for name in CURVES), strict=True))
    looks = zip(kept["looks"], kept["validation_loss"], strict=True)
    rows: list[Row] = [
        {"step": step, **dict(zip(CURVES, row, strict=True))} for step, row in updates
    ]
    return [*rows, *({"step": step, "validation_loss": loss} for step, loss in looks)]


def cases_of(name: str) -> Iterator[Case]:
    """A clinic's runs, each beside the healthy one."""
    clinic = load_clinic(name)
    yield Case("the run of the figure", (clinic.run, clinic.healthy))
    yield Case("the healthy run of the figure", (clinic.healthy, load_clinic(name).healthy))
    for rows, same in clinic.others:
        label = "the same fault or none, with another seed"
        yield Case(label if same else "a run without this fault", (rows, clinic.healthy))


def other_causes(right: Function, sentences: dict[str, str]) -> tuple[Function, ...]:
    """Wrong causes, each named whatever the curves show, and by a rule that finds the right runs.

    Args:
        right: the rule that names the right cause.
        sentences: by cause, what is said to somebody who names it.
    """

    def naming(cause: str, by_a_rule: bool) -> Function:
        def wrong(run: list[Row], healthy: list[Row]) -> str:
            return OTHERWISE if by_a_rule and right(run, healthy) == OTHERWISE else cause

        wrong.__name__ = cause.replace(" ", "_") + ("_by_a_rule" if by_a_rule else "")
        praise = "Your rule finds the right runs, but names another cause. " if by_a_rule else ""
        wrong.__doc__ = praise + sentences[cause]
        return wrong

    return tuple(naming(cause, by_a_rule) for by_a_rule in (False, True) for cause in sentences)


def three_curves(run: list[Row], healthy: list[Row], title: str) -> Figure:
    """Loss, gradient norm and speed of a run, with a healthy one gray behind it.

    Args:
        run, healthy: rows of metrics.
        title: of the figure.
    """
    wide: Any = {"color": REFERENCE, "alpha": 0.5, "linewidth": 3.0, "label": "healthy run"}
    thin: Any = {"color": TRAINING, "linewidth": 1.2, "label": "this run"}
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(3, sharex=True, figsize=(7.0, 6.5))
        for axes, (name, label) in zip(grid, CURVES.items(), strict=True):
            axes.plot(*points(healthy, name), **wide)
            axes.plot(*points(run, name), **thin)
            axes.set_ylabel(label)
        for rows, mark, color, whose in (
            (healthy, "o", REFERENCE, "healthy run, validation"),
            (run, "x", VALIDATION, "this run, validation"),
        ):
            style: Any = {"color": color, "linewidth": 0, "markersize": 5, "label": whose}
            grid[0].plot(*points(rows, "validation_loss"), mark, **style)
        grid[0].set_title(title)
        log_axis(grid[1])
        grid[0].set_ylim(0, None)
        grid[2].set_ylim(0, None)
        grid[2].yaxis.set_major_formatter("{x:,.0f}")
        axis_of_steps(grid[2])
        figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure
