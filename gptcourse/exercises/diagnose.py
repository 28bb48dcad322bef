"""Broken runs: recorded curves with one hidden fault, and what their two exercises share.

A clinic is a run with a fault, a healthy one under the same settings, and a few others on which a
rule is tried: the fault with another seed, a healthy run with another seed, and other faults.
The runs were really made, by ``assets/clinics.py``.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from gptcourse import paths
from gptcourse.exercises.exercise import Case, Function
from gptlib.files import atomic_write
from gptlib.plots import REFERENCE, STYLE, TRAINING, VALIDATION, axis_of_steps, log_axis, points
from gptlib.training.metrics import Row, curve

KEPT = {"loss": 3, "gradient_norm": 3, "tokens_per_second": 0}  # decimals of each curve
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
    run, healthy, *others = (rows_of(kept) for kept in fields["runs"])
    return Clinic(fields["about"], run, healthy, list(zip(others, fields["same"], strict=True)))


def rows_of(kept: dict[str, list[float]]) -> list[Row]:
    """Rows as a run's metrics hold them, of the curves as the file holds them."""
    updates = zip(*(kept[name] for name in KEPT), strict=True)
    looks = zip(kept["looks"], kept["validation_loss"], strict=True)
    return [
        *({"step": step, **dict(zip(KEPT, row, strict=True))} for step, row in enumerate(updates)),
        *({"step": step, "validation_loss": loss} for step, loss in looks),
    ]


def save(clinic: Clinic, path: Path) -> None:
    """Write a clinic, one line a curve; nothing in the file says which fault it is."""
    runs = [clinic.run, clinic.healthy, *(rows for rows, _ in clinic.others)]
    same = json.dumps([has_it for _, has_it in clinic.others])
    texts = ",\n".join(text_of(rows) for rows in runs)
    with atomic_write(path, "w") as file:
        about = json.dumps(clinic.about)
        file.write(f'{{\n"about": {about},\n"same": {same},\n"runs": [\n{texts}\n]\n}}\n')


def text_of(rows: list[Row]) -> str:
    """One run's curves as JSON."""
    looks, losses = curve(rows, "validation_loss")
    kept: dict[str, list[Any]] = {
        name: [round(value, digits or None) for value in curve(rows, name)[1]]
        for name, digits in KEPT.items()
    }
    kept |= {"looks": looks, "validation_loss": [round(loss, 3) for loss in losses]}
    lines = (f"{json.dumps(name)}: {json.dumps(values)}" for name, values in kept.items())
    return "{" + ",\n ".join(lines) + "}"


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
    named = [naming(cause, sentence) for cause, sentence in sentences.items()]
    return (*named, *(sparing(wrong, right) for wrong in named))


def naming(cause: str, sentence: str) -> Function:
    """A function that names one cause whatever the curves show."""

    def wrong(run: list[Row], healthy: list[Row]) -> str:
        return cause

    wrong.__name__, wrong.__doc__ = cause.replace(" ", "_"), sentence
    return wrong


def sparing(wrong: Function, right: Function) -> Function:
    """The same wrong cause, given by somebody whose rule lets go the runs without this fault."""

    def rule(run: list[Row], healthy: list[Row]) -> Any:
        spared = right(run, healthy) == OTHERWISE
        return OTHERWISE if spared else wrong(run, healthy)

    rule.__name__ = f"{wrong.__name__}_by_a_rule"
    rule.__doc__ = f"Your rule finds the right runs, but names another cause. {wrong.__doc__}"
    return rule


def three_curves(run: list[Row], healthy: list[Row], title: str) -> Figure:
    """Loss, gradient norm and speed of a run, with a healthy one grey behind it.

    Args:
        run, healthy: rows of metrics.
        title: of the figure.
    """
    labels = {
        "loss": "loss\n(nats per character)",
        "gradient_norm": "gradient norm\n(log)",
        "tokens_per_second": "tokens\nper second",
    }
    wide: Any = {"color": REFERENCE, "alpha": 0.5, "linewidth": 3.0}
    thin: Any = {"color": TRAINING, "linewidth": 1.2}
    marks: Any = {"color": VALIDATION, "linewidth": 0, "markersize": 5}
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(3, sharex=True, figsize=(7.0, 6.5))
        for axes, (name, label) in zip(grid, labels.items(), strict=True):
            axes.plot(*points(healthy, name), label="healthy run", **wide)
            axes.plot(*points(run, name), label="this run", **thin)
            axes.set_ylabel(label)
        for rows, mark, whose in ((healthy, "o", "healthy run"), (run, "x", "this run")):
            places, losses = points(rows, "validation_loss")
            style = marks if rows is run else {**marks, "color": REFERENCE}
            grid[0].plot(places, losses, mark, label=f"{whose}, validation", **style)
        grid[0].set_title(title)
        log_axis(grid[1])
        grid[0].set_ylim(0, None)
        grid[2].set_ylim(0, None)
        grid[2].yaxis.set_major_formatter("{x:,.0f}")
        axis_of_steps(grid[2])
        figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure
