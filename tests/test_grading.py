"""Grading gives each planted submission the marks it deserves, and survives what is handed in."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from course_notebooks import SOLUTIONS, code, planted, solution, write

from gptlib import paths
from gptlib.course.cli import course
from gptlib.course.exercise_cells import plain_python
from gptlib.course.grades import Mark, State, csv_text, page_text
from gptlib.course.grading import grade
from gptlib.course.submissions import plain, read_submission
from gptlib.course.watched import Limits, bytes_of
from gptlib.errors import CourseError

LIMITS = Limits(seconds=4, memory=1_200_000_000)
PASSED, FAILED, NOT_DONE, ABSENT = State
STUB = '    raise NotImplementedError("not done yet")'
BOMB = "    held = []\n    while True:\n        held.append(b'x' * 50_000_000)"
TAMPER = """
import gptlib.exercises.verdict as verdict
verdict.difference = lambda *anything: None
verdict.judge = lambda exercise, function: print("✓")
class check:
    total = print


"""

# The learner's cells by exercise, and what is expected of doubled, total and backwards.
PLANTED = {
    "right": ({}, [PASSED, PASSED, PASSED]),
    "half right": (
        {"total": solution("total", STUB), "backwards": solution("backwards", "    return 0")},
        [PASSED, NOT_DONE, FAILED],
    ),
    "looping": ({"doubled": solution("doubled", "    while True: pass")}, [FAILED, PASSED, PASSED]),
    "exiting": (
        {
            "doubled": solution("doubled", "    import os; os._exit(0)"),
            "total": "raise SystemExit",
        },
        [FAILED, FAILED, PASSED],
    ),
    "memory bomb": ({"backwards": solution("backwards", BOMB)}, [PASSED, PASSED, FAILED]),
    "syntax error": (
        {"doubled": "def my_doubled(numbers:\n\ncheck.doubled(my_doubled)"},
        [FAILED, PASSED, PASSED],
    ),
    "tampering": (
        {"total": TAMPER + solution("total", "    return 0")},
        [PASSED, FAILED, PASSED],
    ),
    "empty": (None, [ABSENT, ABSENT, ABSENT]),
}


@pytest.fixture(scope="module")
def course_folder(tmp_path_factory):
    """The instructor's copy; the catalogue that judges it is found by the grader's processes."""
    folder = tmp_path_factory.mktemp("course")
    write(folder / "81_planted.ipynb", *planted())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        yield folder


def graded(course_folder, submissions, **more):
    said = []
    settings = {"limits": LIMITS, "notebooks": course_folder, "catalogue": "planted_exercises"}
    marks = grade(submissions, [], say=said.append, **(settings | more))
    return marks, said


@pytest.fixture(scope="module")
def class_of_eight(course_folder, tmp_path_factory):
    """All planted submissions, graded once."""
    folder = tmp_path_factory.mktemp("class") / "handed-in"
    for learner, (cells, _) in PLANTED.items():
        own = [code("x = 1")] if cells is None else planted(**cells)
        write(folder / learner / "81_planted.ipynb", *own)
    write(folder / "right" / "notes.ipynb", code("1"))
    return folder, *graded(course_folder, folder)


def states(marks, learner):
    return [mark.state for mark in marks if mark.learner == learner]


def message(marks, learner, exercise):
    (found,) = (m for m in marks if (m.learner, m.exercise) == (learner, exercise))
    return found.message


@pytest.mark.parametrize("learner", PLANTED)
def test_a_planted_submission_gets_its_marks(class_of_eight, learner):
    assert states(class_of_eight[1], learner) == PLANTED[learner][1]


@pytest.mark.parametrize(
    ("learner", "exercise", "words"),
    [
        ("half right", "total", "not done yet"),
        ("half right", "backwards", "expected 3 elements, [3, 2, 1], came 0"),
        ("looping", "doubled", "took longer than 4 seconds"),
        ("exiting", "doubled", "ended its process (exit code 0)"),
        ("exiting", "total", "the cell ends its process (SystemExit)"),
        ("memory bomb", "backwards", "took more than 1.2 GB of memory"),
        ("syntax error", "doubled", "SyntaxError in line 1 of the cell"),
        ("tampering", "total", "the check was changed"),
        ("empty", "total", "not handed in"),
    ],
)
def test_a_message_says_what_happened(class_of_eight, learner, exercise, words):
    assert words in message(class_of_eight[1], learner, exercise)


def test_the_results_lie_beside_the_submissions(class_of_eight):
    folder = class_of_eight[0]
    rows = list(csv.DictReader((folder.parent / "handed-in-grades/grades.csv").open("utf-8")))
    assert len(rows) == 3 * len(PLANTED)
    assert list(rows[0]) == ["learner", "notebook", "exercise", "passed", "message"]
    assert sum(row["passed"] == "yes" for row in rows) == 12
    assert not any("\n" in row["message"] for row in rows)
    page = (folder.parent / "handed-in-grades/grades.html").read_text("utf-8")
    assert "<h2>tampering</h2>" in page and "the check was changed" in page


def test_a_line_tells_of_each_submission_and_of_strange_files(class_of_eight):
    said = class_of_eight[2]
    assert sum("81_planted" in line and "of 3 passed" in line for line in said) == len(PLANTED)
    assert "not recognised: right/notes.ipynb" in said


def test_no_process_of_the_grader_is_left(class_of_eight):
    assert [p for p in psutil.Process().children() if "exercises.apart" in str(p.cmdline())] == []
