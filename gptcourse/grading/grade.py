"""Grade a class: run each learner's exercise cells apart, and judge them with our own checks."""

import ast
import csv
import html
import io
import os
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any

from gptcourse.errors import CourseError
from gptcourse.grading.process import Answers, Ended, Limits, answers
from gptcourse.grading.submissions import Submission, find_submissions, plain, read_submission
from gptcourse.notebooks.cells import (
    Cell,
    Notebook,
    checked,
    code_cells,
    find_notebooks,
    has_tag,
    parsed,
    plain_python,
    read_notebook,
)
from gptcourse.notebooks.run import STYLE
from gptlib.files import atomic_write

CATALOGUE = "gptcourse.exercises.checks"
LONGEST = 2_000  # characters of a message
FORMULA = ("=", "+", "-", "@", "'")  # a spreadsheet would compute what begins like this
WAY_OUT = (
    "What is not recognized counts nowhere. A notebook lies in its learner's folder under its name "
    "in the course, such as ada/02_attention.ipynb: unpack, move or rename it, and grade again."
)
MORE_STYLE = """
body { max-width: none } th { font-weight: normal } td { text-align: center }
td:first-child { text-align: left } pre { white-space: pre-wrap; overflow-wrap: anywhere }
th.exercise { writing-mode: vertical-rl } table { width: auto }
"""


class State(Enum):
    """How an exercise stands."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_DONE = "not done yet"
    NOT_HANDED_IN = "not handed in"


SIGNS = {State.PASSED: "✓", State.FAILED: "✗", State.NOT_DONE: "·", State.NOT_HANDED_IN: "–"}


@dataclass(frozen=True)
class Mark:
    """One exercise of one learner."""

    learner: str
    notebook: str
    exercise: str
    state: State
    message: str


@dataclass(frozen=True)
class Sheet:
    """What grading takes from the instructor's copy of one notebook."""

    notebook: str
    imports: list[str]  # the cells under the set-up: "what this notebook uses"
    definitions: list[str]  # what the notebook quotes from the package above its exercises
    exercises: list[str]


def grade(
    folder: Path,
    wanted: list[str],
    out: Path | None = None,
    limits: Limits | None = None,
    notebooks: Path | None = None,
    catalogue: str = CATALOGUE,
    say: Callable[[str], None] = print,
) -> list[Mark]:
    """Grade what learners handed in, and write grades.csv and grades.html.

    Args:
        folder: one sub-folder a learner, with notebooks named as in the course.
        wanted: which notebooks, as numbers or names; none means all.
        out: where the results go, replacing older ones; left out: beside ``folder``.
        limits: of each exercise.
        notebooks: the folder of the instructor's copies.
        catalogue: the module whose EXERCISES judge.
        say: takes a line on each submission.

    Raises:
        CourseError: there is nothing to grade, the instructor's copy does not run, or the results
            have no place.
    """
    folder, limits = folder.resolve(), limits or Limits()
    out = (out or folder.with_name(f"{folder.name}-grades")).resolve()
    if out.is_relative_to(folder):
        raise CourseError(f"{plain(out)} lies among the submissions: give another --out")
    check_place(out)  # before the work, which may take an hour
    copies = find_notebooks(wanted, notebooks)
    names = [path.stem for path in find_notebooks([], notebooks)]
    learners, handed_in, strangers = find_submissions(folder, names)
    sheets = [sheet_of(path.stem, read_notebook(path)) for path in copies]
    sheets = [sheet for sheet in sheets if sheet.exercises]
    if not sheets:
        asked = ", ".join(path.stem for path in copies)
        raise CourseError(f"{asked}: no exercises to grade there; name other notebooks, or none")
    marks: list[Mark] = []
    for learner in learners:
        for sheet in sheets:
            path, started = handed_in.get((learner, sheet.notebook)), time.monotonic()
            submission = read_submission(path, sheet.exercises)
            found = [
                Mark(learner, sheet.notebook, name, state, message or state.value)
                for name, (state, message) in judged(submission, sheet, limits, catalogue).items()
            ]
            marks += found
            if path is not None:
                passed = sum(mark.state is State.PASSED for mark in found)
                say(
                    f"{plain(learner, 40)}  {sheet.notebook}  {passed} of {len(found)} passed  "
                    f"{time.monotonic() - started:.1f} s"
                )
    others = [str(path.relative_to(folder)) for path in strangers]
    for name in others:
        say(f"not recognized: {plain(name)}")
    if others:
        say(WAY_OUT)
    say(plain(write_grades(out, marks, others)))
    return marks


def sheet_of(name: str, notebook: Notebook) -> Sheet:
    """Take from a notebook of the course what grading needs."""
    cells = code_cells(notebook)
    solutions = [index for index, cell in enumerate(cells) if has_tag(cell, "solution")]
    first = solutions[0] if solutions else 0
    above = [cell for cell in cells[:first] if not has_tag(cell, "setup")]
    imports = [plain_python(cell.source) for cell in takewhile(_imports, above)]
    definitions = [plain_python(cell.source) for cell in above if has_tag(cell, "in-step")]
    names = [checked(cells[index].source) for index in solutions]
    return Sheet(name, imports, definitions, [each for each in names if each])


def _imports(cell: Cell) -> bool:
    """Whether a cell stands for "what this notebook uses"; a long list may fill two cells."""
    tree = parsed(plain_python(cell.source))
    return tree is not None and any(isinstance(e, ast.Import | ast.ImportFrom) for e in tree.body)


def judged(
    submission: Submission, sheet: Sheet, limits: Limits, catalogue: str
) -> dict[str, tuple[State, str]]:
    """Return how each exercise stands, and what is said of it.

    All cells of a submission run in one process, in their order; where one of them ends or spoils
    it, the others run in the next.
    """
    found: dict[str, tuple[State, str]] = {}
    for name in sheet.exercises:
        if submission.problem:
            found[name] = State.FAILED, submission.problem
        else:
            absent = f"no cell of the notebook defines my_{name}" if submission.handed_in else ""
            found[name] = State.NOT_HANDED_IN, absent
    task = {"imports": sheet.imports, "definitions": sheet.definitions, "others": submission.others}
    left = dict(submission.cells)
    while left:
        with closing(answers({**task, "cells": left}, catalogue, limits)) as coming:
            _begin(coming, sheet.notebook)
            for name in list(left):
                try:
                    answer = next(coming)
                except Ended as problem:
                    answer = {"message": f"the cell, or its function, {problem}"}
                if "spoiled" in answer:
                    break
                found[name] = _state(answer), str(answer["message"])[:LONGEST]
                del left[name]
                if "passed" not in answer:
                    break
    return found


def _begin(coming: Answers, notebook: str) -> None:
    """Wait until the notebook's imports have run; raises CourseError where they do not run."""
    try:
        problem = next(coming)["problem"]
        problem = problem and f"say {problem}"
    except Ended as ended:
        problem = str(ended)
    if problem:
        raise CourseError(f"{notebook}: its imports do not run here: they {problem}")


def _state(answer: dict[str, Any]) -> State:
    if answer.get("passed") is True:
        return State.PASSED
    return State.NOT_DONE if answer.get("done") is False else State.FAILED


# What was found, as a table for a spreadsheet and as a page to read


def check_place(out: Path) -> None:
    """Raise CourseError when no results can be written into ``out``, which need not exist yet."""
    there = next(place for place in (out, *out.parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        fault = "cannot be written to" if there.is_dir() else "is a file"
        raise CourseError(f"{plain(there)} {fault}: give another folder for the grades with --out")


def write_grades(folder: Path, marks: list[Mark], not_recognized: list[str]) -> Path:
    """Write ``grades.csv`` and ``grades.html`` in the place of older ones; return the page."""
    table, page = csv_text(marks), page_text(marks, not_recognized)
    for name, text, encoding in (
        ("grades.csv", table, "utf-8-sig"),  # or Excel takes it for another encoding
        ("grades.html", page, "utf-8"),
    ):
        with atomic_write(folder / name) as file:
            file.write(text.encode(encoding))
    return folder / "grades.html"


def csv_text(marks: list[Mark]) -> str:
    """One row a mark; nothing that a spreadsheet would take for a formula."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("learner", "notebook", "exercise", "passed", "message"))
    for mark in marks:
        passed = "yes" if mark.state is State.PASSED else "no"
        row = map(plain, (mark.learner, mark.notebook, mark.exercise, passed, mark.message))
        rows.writerow([f"'{value}" if value.startswith(FORMULA) else value for value in row])
    return text.getvalue()


def page_text(marks: list[Mark], not_recognized: list[str]) -> str:
    """A table of learners and exercises, then what was said of those that did not pass."""
    columns = list(dict.fromkeys((mark.notebook, mark.exercise) for mark in marks))
    by_learner: dict[str, dict[tuple[str, str], Mark]] = {}
    for mark in marks:
        by_learner.setdefault(mark.learner, {})[mark.notebook, mark.exercise] = mark
    heads = "".join(
        f'<th class="exercise">{_safe(notebook[:2])} · {_safe(exercise)}</th>'
        for notebook, exercise in columns
    )
    lines = [
        "<!doctype html>",
        '<html lang="en">\n<meta charset="utf-8">\n<title>Grades</title>',
        f"<style>{STYLE}{MORE_STYLE}</style>\n<h1>Grades</h1>",
        "<p>✓ passed, ✗ failed, · not done yet, – not handed in. A mark says how a function "
        "behaves, not who wrote it. Only the exercises' cells were run; of other cells "
        "no more than functions, classes and imports.</p>",
        f"<table>\n<tr><th>learner</th><th>passed</th>{heads}</tr>",
    ]
    for learner, own in by_learner.items():
        passed = sum(mark.state is State.PASSED for mark in own.values())
        signs = "".join(f"<td>{SIGNS[own[column].state]}</td>" for column in columns)
        count = f"<td>{passed} of {len(columns)}</td>"
        lines.append(f"<tr><td>{_safe(learner)}</td>{count}{signs}</tr>")
    lines.append("</table>")
    for learner, own in by_learner.items():
        failed = [mark for mark in own.values() if mark.state is State.FAILED]
        lines += [f"<h2>{_safe(learner)}</h2>"] if failed else []
        for (notebook, message), same in groupby(
            failed, lambda each: (each.notebook, each.message)
        ):
            names = ", ".join(mark.exercise for mark in same)
            told = "\n".join(map(_safe, message.split("\n")))
            lines.append(f"<h3>{_safe(notebook)} · {_safe(names)}</h3>\n<pre>{told}</pre>")
    if not_recognized:
        names = "".join(f"<li>{_safe(name)}</li>" for name in not_recognized)
        lines.append(f"<h2>Not recognized</h2>\n<p>{_safe(WAY_OUT)}</p>\n<ul>{names}</ul>")
    return "\n".join([*lines, "</html>", ""])


def _safe(text: str) -> str:
    return html.escape(plain(text))
