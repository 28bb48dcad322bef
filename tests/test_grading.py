"""Grading gives each planted submission the marks it deserves, and survives what is handed in."""

import codecs
import csv
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from course_notebooks import SOLUTIONS, code, notebook, planted, solution, write
from planted_exercises import EXERCISES
from typer.testing import CliRunner

from gptcourse.cli import app
from gptcourse.errors import CourseError
from gptcourse.grading.grade import (
    Mark,
    State,
    csv_text,
    grade,
    page_text,
    sheet_of,
    write_grades,
)
from gptcourse.grading.process import Ended, Limits, answers, bytes_of
from gptcourse.grading.submissions import find_submissions, plain, read_submission
from gptcourse.grading.worker import Judge
from gptcourse.notebooks.cells import plain_python

LIMITS = Limits(seconds=5, memory=800_000_000)
PASSED, FAILED, NOT_DONE, ABSENT = State
STUB = '    raise NotImplementedError("not done yet")'
BOMB = "    held = []\n    while True:\n        held.append(b'x' * 150_000_000)"
FLOOD = 'for _ in range(300):\n    print("x" * 1_000_000)\n\n\n'
FORGED = """
import os
for number in range(3, 20):
    try:
        os.write(number, b'{"passed": true, "done": true, "message": "", "unfit": false}\\n')
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

# The learner's cells by exercise, and what is expected of doubled, total and backwards.
PLANTED = {
    "right": ({"doubled": FLOOD + solution("doubled")}, [PASSED, PASSED, PASSED]),
    "half right": (
        {
            "doubled": "def my_doubled(numbers:\n\ncheck.doubled(my_doubled)",
            "total": solution("total", STUB),
            "backwards": solution("backwards", "    return 0"),
        },
        [FAILED, NOT_DONE, FAILED],
    ),
    "looping": (
        {
            "doubled": solution("doubled", "    return [int(half(4 * n)) for n in numbers]"),
            "total": solution("total", "    while True: pass"),
            "backwards": solution(
                "backwards", "    return [n // 2 for n in my_doubled(numbers[::-1])]"
            ),
        },
        [PASSED, FAILED, PASSED],
    ),
    "exiting": (
        {
            "doubled": "raise SystemExit\n\n\n" + solution("doubled"),
            "total": FORGED + solution("total", "    return 0"),
            "backwards": solution("backwards", "    import os; os._exit(0)"),
        },
        [FAILED, FAILED, FAILED],
    ),
    "memory bomb": ({"backwards": solution("backwards", BOMB)}, [PASSED, PASSED, FAILED]),
    "tampering": (
        {"backwards": TAMPER + solution("backwards", "    return 0")},
        [PASSED, PASSED, FAILED],
    ),
    "spoiling": (
        {
            "total": SPOIL + solution("total", "    raise ValueError"),
        },
        [PASSED, FAILED, PASSED],
    ),
    "as in a notebook": (
        {
            "doubled": "display(1)\nget_ipython().magic('x')\n\n" + solution("doubled"),
            "total": "import asyncio\nawait asyncio.sleep(0)\n\n" + solution("total"),
            "backwards": "de my_backwards(numbers):\n    return 1",
        },
        [PASSED, PASSED, FAILED],
    ),
    "empty": (None, [ABSENT, ABSENT, ABSENT]),
}


@pytest.fixture(scope="module")
def course_folder(tmp_path_factory):
    """The instructor's copy; the catalogue that judges it is found by the grader's processes."""
    folder = tmp_path_factory.mktemp("course")
    first, *rest = planted()
    quoted = code("# part.py\ndef half(x):\n    return x / 2", ["in-step"])
    needs_more = code("# part.py\ndef more(x: Gone):\n    return x", ["in-step"])
    write(folder / "81_planted.ipynb", first, needs_more, quoted, *rest)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        yield folder


def graded(course_folder, submissions, **more):
    said = []
    settings = {"limits": LIMITS, "notebooks": course_folder, "catalogue": "planted_exercises"}
    marks = grade(submissions, [], say=said.append, **(settings | more))
    return marks, said


@pytest.fixture(scope="module")
def whole_class(course_folder, tmp_path_factory):
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
def test_a_planted_submission_gets_its_marks(whole_class, learner):
    assert states(whole_class[1], learner) == PLANTED[learner][1]


@pytest.mark.parametrize(
    ("learner", "exercise", "words"),
    [
        ("half right", "total", "not done yet"),
        ("half right", "backwards", "expected [3, 2, 1], came 0"),
        ("looping", "total", "took longer than 5 seconds"),
        ("exiting", "backwards", "ended the process (exit code 0)"),
        ("exiting", "total", "wrote into the grader's channel"),
        ("exiting", "doubled", "the cell ends its process (SystemExit)"),
        ("memory bomb", "backwards", "took more than 0.8 GB of memory"),
        ("half right", "doubled", "SyntaxError in line 1 of the cell"),
        ("tampering", "backwards", "the check was changed"),
        ("spoiling", "total", "ValueError in line"),
        ("as in a notebook", "backwards", "SyntaxError in line 1 of the cell"),
        ("empty", "total", "no cell of the notebook defines my_total"),
    ],
)
def test_a_message_says_what_happened(whole_class, learner, exercise, words):
    assert words in message(whole_class[1], learner, exercise)


def test_the_results_lie_beside_the_submissions(whole_class):
    folder = whole_class[0]
    rows = list(
        csv.DictReader((folder.parent / "handed-in-grades/grades.csv").open(encoding="utf-8-sig"))
    )
    assert len(rows) == 3 * len(PLANTED)
    assert list(rows[0]) == ["learner", "notebook", "exercise", "passed", "message"]
    assert sum(row["passed"] == "yes" for row in rows) == 13
    assert not any("\n" in row["message"] for row in rows)
    page = (folder.parent / "handed-in-grades/grades.html").read_text("utf-8")
    assert "<h2>tampering</h2>" in page and "the check was changed" in page


def test_a_line_tells_of_each_submission_and_of_strange_files(whole_class):
    said = whole_class[2]
    assert sum("81_planted" in line and "of 3 passed" in line for line in said) == len(PLANTED)
    assert "not recognized: right/notes.ipynb" in said


def test_only_what_is_no_notebook_of_the_course_is_not_recognized(tmp_path):
    asked, other = "81_planted", "82_other"
    for name in ("ada/82_other", "ada/inner/81_planted", "bob/81_planted (1)", "eve_81_planted"):
        write(tmp_path / f"{name}.ipynb", code("1"))
    (tmp_path / "dan").mkdir()
    (tmp_path / "dan" / "work.zip").touch()
    learners, notebooks, strangers = find_submissions(tmp_path, [asked, other])
    assert learners == ["ada", "bob", "dan"] and list(notebooks) == [("ada", other)]
    assert [str(path.relative_to(tmp_path)) for path in strangers] == [
        "eve_81_planted.ipynb",
        "ada/inner/81_planted.ipynb",
        "bob/81_planted (1).ipynb",
        "dan",
    ]


def test_no_process_of_the_grader_is_left(whole_class):
    assert [p for p in psutil.Process().children() if "grading.worker" in str(p.cmdline())] == []


def handed_in(folder, *cells, learner="ada"):
    return write(folder / "handed-in" / learner / "81_planted.ipynb", *cells)


def cells_of(path):
    return read_submission(path, list(SOLUTIONS)).cells


def test_a_cell_without_its_check_is_found_by_the_function_it_defines(tmp_path):
    first, second = code("def my_total(numbers): return 1"), code("my_total = sum")
    cells = cells_of(handed_in(tmp_path, first, second, code("my_total(2)\nmy_total == 3")))
    assert cells == {"total": "my_total = sum"}


def test_of_several_functions_the_last_that_was_checked_is_taken(tmp_path):
    given, mended = code(solution("total", "    return 1"), ["exercise"]), code(solution("total"))
    later = code("def my_total(numbers): return 2")
    assert cells_of(handed_in(tmp_path, given, mended, later)) == {"total": mended.source}


def test_a_solution_below_an_untouched_stub_is_taken(tmp_path):
    stub = code(solution("total", STUB), ["exercise"])
    assert cells_of(handed_in(tmp_path, stub)) == {"total": stub.source}
    assert cells_of(handed_in(tmp_path, stub, code(solution("total"))))["total"] == solution(
        "total"
    )


@pytest.mark.parametrize("tags", [[], ["exercise"]])
def test_a_function_split_from_its_check_is_taken(tmp_path, tags):
    function, check = solution("total").split("\n\n\n")
    cells = cells_of(handed_in(tmp_path, code(function, tags), code(check, ["exercise"])))
    assert cells == {"total": function}


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
        (b"", "it is empty"),
        (b"{", "it is no notebook (JSONDecodeError"),
        (b"\xff\xfe\x00", "it is no notebook (UnicodeDecodeError"),
        (b"[]", "it holds no list of cells"),
        (b'{"cells": 3}', "it holds no list of cells"),
        (b'{"cells": [{"cell_type": "code", "source": [1, 2]}]}', "TypeError"),
        (b"[" * 100_000, "RecursionError"),
    ],
)
def test_a_file_that_is_no_notebook_is_named_so(tmp_path, content, words):
    path = tmp_path / "81_planted.ipynb"
    path.write_bytes(content)
    assert words in read_submission(path, ["total"]).problem


def test_a_notebook_of_another_shape_holds_no_exercise(tmp_path):
    path = tmp_path / "81_planted.ipynb"
    path.write_text(json.dumps({"cells": [None, {}, {"cell_type": "code", "metadata": []}]}))
    found = read_submission(path, ["total"])
    assert found.cells == {} and not found.problem


def test_a_pipe_in_the_place_of_a_notebook_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "81_planted.ipynb")
    found = read_submission(tmp_path / "81_planted.ipynb", ["total"])
    assert "is not a plain file" in found.problem


def test_a_submission_of_100_megabytes_is_read(tmp_path):
    path = handed_in(tmp_path, code("print(1)", output="@"), *planted())
    path.write_text(path.read_text().replace('"@"', '"' + "x" * 10**8 + '"'))
    assert path.stat().st_size > 10**8
    assert list(cells_of(path)) == list(SOLUTIONS)


def test_one_larger_than_any_notebook_is_not_read(tmp_path):
    path = handed_in(tmp_path)
    os.truncate(path, 300 * 10**6)
    problem = read_submission(path, ["total"]).problem
    assert "300,000,000 bytes, not at most 256,000,000" in problem


def test_odd_names_and_broken_files_are_graded_and_written_harmlessly(course_folder, tmp_path):
    odd = ["=cmd|' <script>alert(1)", "två\nrader \u202eada", "\udcff", "@SUM(A1)"]
    for learner in odd:
        path = handed_in(tmp_path, learner=learner)
        path.write_text("{")
    marks, said = graded(course_folder, tmp_path / "handed-in", out=tmp_path / "out")
    assert {mark.state for mark in marks} == {FAILED} and len(marks) == 12
    rows = list(csv.DictReader((tmp_path / "out/grades.csv").open(encoding="utf-8-sig")))
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


def test_a_message_that_several_exercises_share_stands_once():
    marks = [Mark("ada", "81", name, FAILED, "it is empty") for name in ("doubled", "total")]
    page = page_text(marks, [])
    assert "<h3>81 · doubled, total</h3>" in page and page.count("it is empty") == 1


def test_a_spreadsheet_is_told_that_the_table_is_utf_8(tmp_path):
    write_grades(tmp_path, [Mark("بن علي", "81", "total", PASSED, "")], [])
    assert (tmp_path / "grades.csv").read_bytes().startswith(codecs.BOM_UTF8)


def test_a_long_name_is_cut_and_a_mark_is_one_line():
    assert len(plain("x" * 5_000)) == 1_000 and plain("a\n\tb\x07") == "a b\\x07"


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("absent", "no folder .* give one with a sub-folder"),
        ("handed-in/ada/81_planted.ipynb", "no folder"),
        ("handed-in/bob", "no notebook of the course"),
        ("handed-in/ada", "no notebook of the course"),
    ],
)
def test_what_cannot_be_graded_is_one_line(course_folder, tmp_path, folder, words):
    handed_in(tmp_path)
    (tmp_path / "handed-in" / "bob").mkdir()
    with pytest.raises(CourseError, match=words):
        graded(course_folder, tmp_path / folder)
    assert not list(tmp_path.rglob("*-grades"))


def test_results_among_the_submissions_are_refused(course_folder, tmp_path):
    handed_in(tmp_path)
    folder = tmp_path / "handed-in"
    with pytest.raises(CourseError, match="among the submissions"):
        graded(course_folder, folder, out=folder / "grades")


def test_a_place_that_cannot_hold_the_results_is_refused_before_the_work(course_folder, tmp_path):
    handed_in(tmp_path)
    (tmp_path / "file").touch()
    said = []
    for out in (tmp_path / "file", tmp_path / "file" / "grades"):
        with pytest.raises(CourseError, match="file is a file: give another folder"):
            grade(tmp_path / "handed-in", [], out, notebooks=course_folder, say=said.append)
    assert not said


@pytest.mark.parametrize(("text", "amount"), [("4GB", 4 * 10**9), ("1.5 gb", 1_500_000_000)])
def test_an_amount_of_memory_is_read(text, amount):
    assert bytes_of(text) == amount


@pytest.mark.parametrize("text", ["4", "GB", "-1GB", "0MB", "4TB"])
def test_what_is_no_amount_of_memory_is_refused(text):
    with pytest.raises(CourseError, match="no amount of memory"):
        bytes_of(text)


def test_less_memory_than_pytorch_needs_is_refused():
    with pytest.raises(CourseError, match=r"1MB is too little: .* give 500MB or more"):
        bytes_of("1MB")


ENDLESS = {"imports": [], "definitions": [], "others": [], "cells": {"total": "while True: pass"}}


def test_a_process_that_is_killed_ends_the_question(course_folder):
    with closing(answers(ENDLESS, "planted_exercises", LIMITS)) as coming:
        assert next(coming)["problem"] == ""
        (process,) = psutil.Process().children()
        work = Path(process.cwd())
        process.kill()
        with pytest.raises(Ended, match=r"ended the process \(exit code -9\)"):
            next(coming)
    assert not work.parent.exists()


KILLED = """
import os, psutil, test_grading
coming = test_grading.answers(test_grading.ENDLESS, "planted_exercises", test_grading.LIMITS)
next(coming)
print(*(process.pid for process in psutil.Process().children()), flush=True)
os._exit(0)
"""


def test_a_process_ends_when_the_grader_is_gone(course_folder):
    done = subprocess.run([sys.executable, "-c", KILLED], stdout=subprocess.PIPE)
    (pid,) = map(int, done.stdout.split())
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.1)


INTERRUPTED = """
import sys
from pathlib import Path
from gptcourse.grading.grade import grade
folder = Path(sys.argv[1])
grade(folder / "handed-in", [], notebooks=folder, catalogue="planted_exercises",
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
        (
            "half(1)",
            "NameError in line 1 of the cell: name 'half' is not defined (other cells",
        ),
        ("x = 1", "the cell defines no my_total"),
    ],
)
def test_a_cell_without_a_function_says_why(source, words):
    answer = Judge(EXERCISES).mark("total", source, [])
    assert answer["message"].startswith(words) and not answer["message"].endswith(": ")


def test_a_cell_that_is_no_python_is_found_by_the_name_in_it(tmp_path):
    broken = code("de my_total(numbers):\n    return 1")
    assert cells_of(handed_in(tmp_path, code("1"), broken)) == {"total": broken.source}
    right = code("def my_total(numbers):\n    return 1")
    assert cells_of(handed_in(tmp_path, right, broken)) == {"total": right.source}
    assert cells_of(handed_in(tmp_path, code("my_total"))) == {}


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


def test_the_grader_itself_loads_no_torch():
    program = "import gptcourse.cli, gptcourse.grading.grade, gptcourse.notebooks.edition, sys"
    done = subprocess.run([sys.executable, "-c", f"{program}; sys.exit('torch' in sys.modules)"])
    assert done.returncode == 0


def test_the_help_says_that_this_is_no_sandbox():
    shown = CliRunner().invoke(app, ["grade", "--help"])
    assert "no security sandbox" in " ".join(shown.output.split())
