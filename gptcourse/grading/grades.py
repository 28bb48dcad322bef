"""What grading found, as a table for a spreadsheet and as a page to read."""

import csv
import html
import io
import os
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from pathlib import Path

from gptcourse.errors import CourseError
from gptcourse.grading.submissions import plain
from gptcourse.notebooks.pages import STYLE
from gptlib.files import atomic_write

FORMULA = ("=", "+", "-", "@", "'")  # a spreadsheet would compute what begins like this
WAY_OUT = (
    "What is not recognised counts nowhere. A notebook lies in its learner's folder under its name "
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

    @property
    def passed(self) -> bool:
        """Whether the check accepted it."""
        return self.state is State.PASSED


def require_folder(out: Path) -> None:
    """Raise CourseError when no results can be written into ``out``, which need not exist yet."""
    there = next(place for place in (out, *out.parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        fault = "cannot be written to" if there.is_dir() else "is a file"
        raise CourseError(f"{plain(there)} {fault}: give another folder for the grades with --out")


def write_grades(folder: Path, marks: list[Mark], not_recognised: list[str]) -> Path:
    """Write ``grades.csv`` and ``grades.html`` in the place of older ones; return the page."""
    table, page = csv_text(marks), page_text(marks, not_recognised)
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
        passed = "yes" if mark.passed else "no"
        row = (mark.learner, mark.notebook, mark.exercise, passed, mark.message)
        rows.writerow([_no_formula(plain(value)) for value in row])
    return text.getvalue()


def _no_formula(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def page_text(marks: list[Mark], not_recognised: list[str]) -> str:
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
        passed = sum(mark.passed for mark in own.values())
        signs = "".join(f"<td>{SIGNS[own[column].state]}</td>" for column in columns)
        lines.append(
            f"<tr><td>{_safe(learner)}</td><td>{passed} of {len(columns)}</td>{signs}</tr>"
        )
    lines.append("</table>")
    for learner, own in by_learner.items():
        failed = [mark for mark in own.values() if mark.state is State.FAILED]
        lines += [f"<h2>{_safe(learner)}</h2>"] if failed else []
        for (notebook, message), same in groupby(
            failed, lambda mark: (mark.notebook, mark.message)
        ):
            names = ", ".join(mark.exercise for mark in same)
            lines.append(f"<h3>{_safe(notebook)} · {_safe(names)}</h3>")
            told = "\n".join(map(_safe, message.split("\n")))
            lines.append(f"<pre>{told}</pre>")
    if not_recognised:
        names = "".join(f"<li>{_safe(name)}</li>" for name in not_recognised)
        lines.append(f"<h2>Not recognised</h2>\n<p>{_safe(WAY_OUT)}</p>\n<ul>{names}</ul>")
    return "\n".join([*lines, "</html>", ""])


def _safe(text: str) -> str:
    return html.escape(plain(text))
