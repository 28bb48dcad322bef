"""Grading gives each planted submission the marks it deserves, and survives what is handed in."""

import codecs
import csv
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch
from course_notebooks import SOLUTIONS, code, notebook, planted, solution, until, write
from planted_exercises import EXERCISES

from gptcourse.errors import CourseError
from gptcourse.exercises.checks import EXERCISES as COURSE
from gptcourse.grading.grade import (
    Limits,
    find_submissions,
    grade,
    read_submission,
    run_worker,
    sheet_of,
)
from gptcourse.grading.report import Mark, State, csv_text, page_text, plain
from gptcourse.grading.worker import Judge
from gptcourse.notebooks.cells import plain_python

LIMITS = Limits(seconds=5, memory=800_000_000)
PASSED, FAILED, _, _ = State
STUB = '    raise NotImplementedError("not done yet")'
BOMB = "    held = []\n    while True:\n        held.append(bytes(150_000_000))"
FLOOD = 'for _ in range(300):\n    print("x" * 1_000_000)\n\n\n'
SLEEPER = "import subprocess\nsubprocess.Popen(['sleep', '600.125'])\n\n\n"
FORGED = """
import os
for number in range(3, 20):
    try:
        os.write(number, b'{"passed": true, "done": true, "message": "", "unfit": false}\\n')
    except OSError:
        pass


"""
FLOODED = """
import os
for number in range(3, 20):
    try:
        for _ in range(50):
            os.write(number, b"x" * 10**7)
    except OSError:
        pass


"""
TAMPER = """
import gptcourse.exercises.checks as checks
from planted_exercises import EXERCISES, in_place
object.__setattr__(EXERCISES["backwards"], "right", in_place)
checks.difference = lambda *anything: None
checks.judge = lambda exercise, function: print("✓")
class check:
    backwards = print


"""

SPOIL = """
import gptcourse.exercises.compare as compare
compare._sequences = lambda *anything: None


"""


def own(name, body=None, above=""):
    """A learner's cell for an exercise."""
    return {name: above + solution(name, body)}


# The learner's cells by exercise, the signs of doubled, total and backwards, and what is said.
PLANTED = {
    "right": (
        own("doubled", above="display(1)\nget_ipython().magic('x')\n" + FLOOD)
        | own("total", above="import asyncio\nawait asyncio.sleep(0)\n\n"),
        "✓✓✓",
        {},
    ),
    "half right": (
        {"doubled": "def my_doubled(numbers:\n\ncheck.doubled(my_doubled)"}
        | own("total", STUB)
        | own("backwards", "    return 0"),
        "✗·✗",
        {
            "doubled": "SyntaxError in line 1 of the cell",
            "total": "not done yet",
            "backwards": "expected [3, 2, 1], came 0",
        },
    ),
    "holding on": (
        own("doubled", "    return [int(half(4 * n)) for n in numbers]", SLEEPER)
        | own("total", "    return sum(range(10**13))")  # no Python runs meanwhile
        | own("backwards", "    return [n // 2 for n in my_doubled(numbers[::-1])]"),
        "✓✗✓",
        {"total": "took longer than 5 seconds"},
    ),
    "exiting": (
        own("doubled", above="raise SystemExit\n\n\n")
        | own("total", "    return 0", FORGED)
        | own("backwards", "    import os; os._exit(0)"),
        "✗✗✗",
        {
            "doubled": "the cell ends its process (SystemExit)",
            "total": "expected 6, came 0",
            "backwards": "ended the process (exit code 0)",
        },
    ),
    "flooding": (
        own("doubled", above=FLOODED) | own("backwards", BOMB),
        "✗✓✗",
        {"doubled": "ended the process", "backwards": "MemoryError in line 5 of your cell"},
    ),
    "tampering": (
        own("total", "    raise ValueError", SPOIL) | own("backwards", "    return 0", TAMPER),
        "✓✗✗",
        {"total": "ValueError in line", "backwards": "the check was changed"},
    ),
    "empty": (None, "–––", {"total": "no cell of the notebook defines my_total"}),
}


@pytest.fixture(scope="module")
def course_folder(tmp_path_factory):
    """The instructor's copy; the catalog that judges it is found by the grader's processes."""
    folder = tmp_path_factory.mktemp("course")
    first, *rest = planted()
    quoted = code("# part.py\ndef half(x):\n    return x / 2", ["in-step"])
    needs_more = code("# part.py\ndef more(x: Gone):\n    return x", ["in-step"])
    write(folder / "81_planted.ipynb", first, needs_more, quoted, *rest)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
        yield folder


def graded(course_folder, submissions, **more):
    said = []
    settings = {"limits": LIMITS, "notebooks": course_folder, "catalog": "planted_exercises"}
    marks = grade(submissions, [], **({"say": said.append} | settings | more))
    return marks, said


@pytest.fixture(scope="module")
def whole_class(course_folder, tmp_path_factory):
    """All planted submissions, graded once."""
    folder = tmp_path_factory.mktemp("class") / "handed-in"
    for learner, (cells, _, _) in PLANTED.items():
        book = [code("x = 1")] if cells is None else planted(**cells)
        write(folder / learner / "81_planted.ipynb", *book)
    write(folder / "right" / "notes.ipynb", code("1"))
    return folder, *graded(course_folder, folder)


@pytest.mark.parametrize("learner", PLANTED)
def test_a_planted_submission_gets_its_marks_and_hears_why(whole_class, learner):
    _, signs, reasons = PLANTED[learner]
    marks = {mark.exercise: mark for mark in whole_class[1] if mark.learner == learner}
    assert "".join(mark.state.value for mark in marks.values()) == signs
    for exercise, words in reasons.items():
        assert words in marks[exercise].message


def table_in(folder):
    """The rows of a table of marks, which tells a spreadsheet that it is UTF-8."""
    content = (folder / "grades.csv").read_bytes()
    assert content.startswith(codecs.BOM_UTF8)
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def test_a_line_tells_of_each_submission_and_the_results_lie_beside_them(whole_class):
    folder, _, said = whole_class
    assert sum("81_planted" in line and "of 3 passed" in line for line in said) == len(PLANTED)
    assert "not recognized: right/notes.ipynb" in said
    rows = table_in(folder.parent / "handed-in-grades")
    assert len(rows) == 3 * len(PLANTED)
    assert list(rows[0]) == ["learner", "notebook", "exercise", "passed", "message"]
    assert sum(row["passed"] == "yes" for row in rows) == 7
    assert not any("\n" in row["message"] for row in rows)
    page = (folder.parent / "handed-in-grades/grades.html").read_text("utf-8")
    assert "<h2>tampering</h2>" in page and "the check was changed" in page


def test_no_process_is_left(whole_class):
    said = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert not [line for line in said if "grading.worker" in line or "600.125" in line]


def test_what_is_no_notebook_of_the_course_is_not_recognized(tmp_path):
    asked, other = "81_planted", "82_other"
    for name in (
        *("ada/82_other", "ada/my-course/81_planted", "ada/my-course/82_other", "ada/mine"),
        *("bob/81_planted (1)", "bob/82_other-Copy1", "bob/82_other-Copy2"),
        *("eve_5_81_81_planted", "eve_5_82_82_other-2", "81_planted"),
    ):
        write(tmp_path / f"{name}.ipynb", code("1"))
    (tmp_path / "dan").mkdir()
    (tmp_path / "dan" / "work.zip").touch()
    learners, notebooks, strangers = find_submissions(tmp_path, [asked, other])
    assert learners == ["ada", "bob", "dan", "eve"]
    assert {key: str(path.relative_to(tmp_path)) for key, path in notebooks.items()} == {
        ("ada", other): "ada/82_other.ipynb",
        ("ada", asked): "ada/my-course/81_planted.ipynb",
        ("bob", asked): "bob/81_planted (1).ipynb",
        ("bob", other): "bob/82_other-Copy1.ipynb",
        ("eve", asked): "eve_5_81_81_planted.ipynb",
        ("eve", other): "eve_5_82_82_other-2.ipynb",
    }
    assert strangers == [
        *("81_planted.ipynb", "ada/mine.ipynb", "ada/my-course/82_other.ipynb"),
        *("bob/82_other-Copy2.ipynb", "dan"),
    ]


def handed_in(folder, *cells, learner="ada"):
    return write(folder / "handed-in" / learner / "81_planted.ipynb", *cells)


FUNCTION, CHECK = solution("total").split("\n\n\n")
UNDONE = code(solution("total", STUB), ["exercise"])
BROKEN = code("de my_total(numbers):\n    return 1")


@pytest.mark.parametrize(
    ("cells", "taken"),
    [
        ((code("my_total = sum"), code("my_total(2)\nmy_total == 3")), "my_total = sum"),
        ((code("def my_total(n): 1"), code("my_total = sum")), "my_total = sum"),
        ((UNDONE, code(solution("total")), code("def my_total(n): 2")), solution("total")),
        ((UNDONE,), UNDONE.source),
        ((code(solution("total")), UNDONE), solution("total")),
        ((code(FUNCTION), code(CHECK, ["exercise"])), FUNCTION),
        ((code(FUNCTION, ["exercise"]), code(CHECK)), FUNCTION),
        ((code("1"), BROKEN), BROKEN.source),
        ((code("def my_total(n):\n    return 1"), BROKEN), "def my_total(n):\n    return 1"),
        ((code("my_total"),), None),
    ],
)
def test_the_cell_of_an_exercise_is_found(tmp_path, cells, taken):
    assert read_submission(handed_in(tmp_path, *cells), ["total"])[0].get("total") == taken


def test_a_function_may_build_on_functions_and_imports_of_other_cells():
    others = [
        "from math import fsum\nimport no_such_module\nraise ValueError",
        "class Sum:\n    def of(self, numbers): return more(fsum(numbers))",
        "def more(number): return number + 1",  # an earlier definition stays
        "def my_total(numbers): return 0",
        "not Python",
    ]
    judge = Judge(EXERCISES)
    judge.begin([], ["def more(number): return int(number)"])
    source = solution("total", "    return Sum().of(numbers)")
    assert judge.mark("total", source, others)["passed"]
    assert judge.mark("total", "check.total(my_total)", others)["passed"] is False


def test_a_setting_of_torch_that_a_cell_left_makes_a_process_unsound():
    judge = Judge(COURSE)
    try:
        assert judge.sound("causal_weights")
        torch.set_default_device("meta")
        assert not judge.sound("causal_weights")
    finally:
        torch.set_default_device(None)


@pytest.mark.parametrize(
    ("source", "plain_source"),
    [
        ("%%time\nx = 1\n  !ls\n%matplotlib inline", "pass\nx = 1\n  pass\npass"),
        ("my_total?\n?my_total\nx = 1", "pass\npass\nx = 1"),
        ("files = !ls\n  x=%time 1", "pass\n  pass"),
        ("x = (7\n  % 3)", "x = (7\n  % 3)"),
        ("x = 'what?'", "x = 'what?'"),
    ],
)
def test_lines_of_ipython_are_left_out(source, plain_source):
    assert plain_python(source) == plain_source


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it has 0 bytes, not 1 to 256,000,000"),
        (b"{", "JSONDecodeError"),
        (b"\xff\xfe\x00", "UnicodeDecodeError"),
        (b"[]", "TypeError"),
        (b'{"cells": 3}', "TypeError"),
        (b'{"cells": [{"cell_type": "code", "source": [1, 2]}]}', "TypeError"),
        (b"[" * 100_000, "RecursionError"),
        ("a pipe", "is not a plain file"),
        (300 * 10**6, "300,000,000 bytes, not 1 to 256,000,000"),
    ],
)
def test_a_file_that_is_no_notebook_is_named_so(tmp_path, content, words):
    path = tmp_path / "81_planted.ipynb"
    if content == "a pipe":
        os.mkfifo(path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.touch()
        os.truncate(path, content)
    with pytest.raises(CourseError, match=f"^the file cannot be read as a notebook .*{words}"):
        read_submission(path, ["total"])


def test_a_notebook_of_another_shape_holds_no_exercise(tmp_path):
    path = tmp_path / "81_planted.ipynb"
    path.write_text(json.dumps({"cells": [None, {}, {"cell_type": "code", "metadata": []}]}))
    assert read_submission(path, ["total"])[0] == {}


def test_odd_names_and_broken_files_are_graded_and_written_harmlessly(course_folder, tmp_path):
    odd = ["=cmd|' <script>alert(1)", "två\nrader \u202eada", "\udcff", "@SUM(A1)"]
    for learner in odd:
        path = handed_in(tmp_path, learner=learner)
        path.write_text("{")
    marks, said = graded(course_folder, tmp_path / "handed-in", out=tmp_path / "out")
    assert {mark.state for mark in marks} == {FAILED} and len(marks) == 12
    rows = table_in(tmp_path / "out")
    assert {row["learner"] for row in rows} == {
        "'=cmd|' <script>alert(1)",
        "två rader \\u202eada",
        "\\udcff",
        "'@SUM(A1)",
    }
    page = (tmp_path / "out/grades.html").read_text(encoding="utf-8")
    assert "<script>" not in page and "=cmd|&#x27; &lt;script&gt;alert(1)" in page
    assert all(line.isprintable() for line in said)


def test_a_message_is_escaped_in_page_and_table():
    mark = Mark("ada", "81_planted", "total", FAILED, "=1+1\n  <img onerror='x'>\x1b[31m")
    assert "'=1+1 <img onerror='x'>\\x1b[31m" in csv_text([mark])
    page = page_text([mark], ["<b>.ipynb"])
    assert "<img" not in page and "\x1b" not in page and "&lt;b&gt;.ipynb" in page
    assert len(plain("x" * 5_000)) == 1_000


def test_a_message_that_several_exercises_share_stands_once():
    marks = [Mark("ada", "81", name, FAILED, "it is empty") for name in ("doubled", "total")]
    page = page_text(marks, [])
    assert "<h3>81 · doubled, total</h3>" in page and page.count("it is empty") == 1


@pytest.mark.parametrize(
    ("folder", "out", "words"),
    [
        ("absent", None, "no folder .* give one with a sub-folder"),
        ("handed-in/ada/81_planted.ipynb", None, "no folder"),
        ("handed-in/bob", None, "no notebook of the course"),
        ("handed-in", "handed-in/grades", "among the submissions"),
        ("handed-in", "file", "file"),
        ("handed-in", "file/grades", "file"),
    ],
)
def test_what_cannot_be_graded_is_refused_before_the_work(
    course_folder, tmp_path, folder, out, words
):
    handed_in(tmp_path)
    (tmp_path / "handed-in" / "bob").mkdir()
    (tmp_path / "file").touch()
    said = []
    with pytest.raises((CourseError, OSError), match=words):
        graded(course_folder, tmp_path / folder, out=out and tmp_path / out, say=said.append)
    assert not said and not list(tmp_path.rglob("*grades*"))


ENDLESS = {"imports": [], "definitions": [], "others": [], "cells": {"total": "while True: pass"}}


def test_a_process_that_is_killed_ends_the_question(course_folder):
    found = []
    asking = threading.Thread(
        target=lambda: found.append(run_worker(ENDLESS, LIMITS, "planted_exercises"))
    )
    asking.start()
    until(psutil.Process().children)
    (process,) = psutil.Process().children()
    work = Path(process.cwd())
    process.kill()
    asking.join(timeout=10)
    assert found == [([], "ended the process (exit code -9)")] and not work.parent.exists()


KILLED = """
import os, psutil, sys, test_grading, threading
question = test_grading.ENDLESS, test_grading.Limits(60), "planted_exercises"
threading.Thread(target=test_grading.run_worker, args=question).start()
test_grading.until(psutil.Process().children)
print(psutil.Process().children()[0].pid, flush=True)
os._exit(0)
"""


def test_a_process_ends_when_the_grader_is_gone(course_folder):
    variables = {
        **os.environ,
        "PYTHONPATH": f"{Path(__file__).parent}{os.pathsep}{os.environ['PYTHONPATH']}",
    }
    done = subprocess.run([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, env=variables)
    pid = int(done.stdout)
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie")


INTERRUPTED = """
import sys
from pathlib import Path
from gptcourse.grading.grade import grade
folder = Path(sys.argv[1])
grade(folder / "handed-in", [], notebooks=folder, catalog="planted_exercises",
      say=lambda line: print(line, flush=True))
"""


def test_ctrl_c_ends_every_process_and_leaves_older_results(course_folder, tmp_path):
    handed_in(tmp_path, code("1"), learner="ada")
    handed_in(
        tmp_path, *planted(doubled=solution("doubled", "    while True: pass")), learner="bob"
    )
    write(tmp_path / "81_planted.ipynb", *planted())
    results = tmp_path / "handed-in-grades"
    results.mkdir()
    (results / "grades.csv").write_text("older")
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as grader:
        assert b"ada" in grader.stdout.readline()
        time.sleep(0.5)
        started = psutil.Process(grader.pid).children(recursive=True)
        grader.send_signal(signal.SIGINT)
        assert grader.wait(timeout=10) != 0
    assert started and psutil.wait_procs(started, timeout=5)[1] == []
    assert [path.name for path in results.iterdir()] == ["grades.csv"]
    assert (results / "grades.csv").read_text() == "older"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("x = [0] * 10**15", "MemoryError in line 1 of the cell: it asks for more memory than"),
        ("\nassert 1 > 2", "AssertionError in line 2 of the cell"),
        ("def my_total(:", "SyntaxError in line 1 of the cell: invalid syntax"),
        ("raise SystemExit", "the cell ends its process (SystemExit)"),
        ("half(1)", "NameError in line 1 of the cell: name 'half' is not defined (other cells"),
        ("x = 1", "the cell defines no my_total"),
    ],
)
def test_a_cell_without_a_function_says_why(source, words):
    answer = Judge(EXERCISES).mark("total", source, [])
    assert answer["message"].startswith(words) and not answer["message"].endswith(": ")


def test_imports_may_fill_two_cells_and_quoted_definitions_come_with_them():
    first, *rest = planted()
    second = code("from os import path\n\nx = 1")
    quoted = code("# a.py\ndef half(x):\n    return x / 2", ["in-step"])
    sheet = sheet_of(
        "81", notebook(first, second, code("print(1)"), quoted, *rest, code("import os"))
    )
    assert sheet.imports == [first.source, second.source]
    assert sheet.definitions == [quoted.source]
    assert sheet.exercises == list(SOLUTIONS)


def test_imports_that_do_not_run_are_the_instructors_to_mend(course_folder, tmp_path):
    write(tmp_path / "course/81_planted.ipynb", code("import no_such_module"), *planted()[1:])
    handed_in(tmp_path, *planted())
    with pytest.raises(
        CourseError, match="81_planted: its imports do not run here: ModuleNotFound"
    ):
        graded(tmp_path / "course", tmp_path / "handed-in")
