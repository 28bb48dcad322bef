"""Marks on paper: a table for a spreadsheet, and a page to read."""

import csv
import html
import io
import unicodedata
from enum import Enum
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from gptcourse.pages import page, table
from gptlib.files import atomic_write

FORMULA = ("=", "+", "-", "@", "'")  # a spreadsheet would compute what begins like this
WAY_OUT = (
    "What is not recognized counts nowhere. A notebook lies in its learner's folder under its name "
    "in the course, such as ada/02_attention.ipynb: unpack, move or rename it, and grade again."
)
STYLE = """body { max-width: none } th { font-weight: normal } td { text-align: center }
td:first-child { text-align: left } pre { white-space: pre-wrap; overflow-wrap: anywhere }
th:nth-child(n+3) { writing-mode: vertical-rl } table { width: auto }
"""
LEGEND = """<p>✓ passed, ✗ failed, · not done yet, – not handed in. A mark says how a function
behaves, not who wrote it. Only the exercises' cells were run; of other cells no more than
functions, classes and imports.</p>"""


class State(Enum):
    """How an exercise stands, as a sign."""

    PASSED = "✓"
    FAILED = "✗"
    NOT_DONE = "·"
    NOT_HANDED_IN = "–"


class Mark(NamedTuple):
    """One exercise of one learner."""

    learner: str
    notebook: str
    exercise: str
    state: State
    message: str


def write_grades(folder: Path, marks: list[Mark], not_recognized: list[str]) -> Path:
    """Write ``grades.csv`` and ``grades.html`` in the place of older ones; return the page."""
    for name, text, encoding in (
        ("grades.csv", csv_text(marks), "utf-8-sig"),  # or Excel takes it for another encoding
        ("grades.html", page_text(marks, not_recognized), "utf-8"),
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
    """A table of learners and exercises, then what was said of those that failed."""
    columns = list(dict.fromkeys((mark.notebook, mark.exercise) for mark in marks))
    heads = ["learner", "passed", *(f"{name[:2]} · {safe(each)}" for name, each in columns)]
    rows, messages = [], []
    for learner, own in groupby(marks, lambda mark: mark.learner):
        states = {(mark.notebook, mark.exercise): mark for mark in own}
        passed = sum(mark.state is State.PASSED for mark in states.values())
        signs = (states[column].state.value for column in columns)
        rows.append([safe(learner), f"{passed} of {len(columns)}", *signs])
        failed = [mark for mark in states.values() if mark.state is State.FAILED]
        messages += [f"<h2>{safe(learner)}</h2>"] if failed else []
        for (notebook, message), same in groupby(failed, lambda m: (m.notebook, m.message)):
            names = ", ".join(mark.exercise for mark in same)
            told = "\n".join(map(safe, message.split("\n")))
            messages.append(f"<h3>{safe(notebook)} · {safe(names)}</h3>\n<pre>{told}</pre>")
    if not_recognized:
        names = "".join(f"<li>{safe(name)}</li>" for name in not_recognized)
        messages.append(f"<h2>Not recognized</h2>\n<p>{safe(WAY_OUT)}</p>\n<ul>{names}</ul>")
    return page("Grades", LEGEND, table(heads, rows), *messages, style=STYLE)


def safe(text: str) -> str:
    """Learners' text for a page."""
    return html.escape(plain(text))


def plain(text: object, longest: int = 1_000) -> str:
    """Learners' text on one line: no control character, nothing that a file cannot hold."""
    line = " ".join(str(text).split())[:longest]
    return "".join(
        mark if unicodedata.category(mark)[0] != "C" else ascii(mark)[1:-1] for mark in line
    )
