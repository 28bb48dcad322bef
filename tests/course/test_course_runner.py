"""The course runs to its end, tells what failed, and keeps pages of everything."""

import os
import shutil
import signal
import subprocess
import sys

import nbformat
import psutil
import pytest
from course_notebooks import code, notebook, until, write

from gptcourse import STORED, paths
from gptcourse.errors import CourseError
from gptcourse.notebooks.cells import find_notebooks
from gptcourse.notebooks.run import run_course, store_outputs, write_pages


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """Three notebooks, the middle one with an error; they ran once."""
    folder = tmp_path_factory.mktemp("course") / "notebooks"
    write(
        folder / "81_first.ipynb",
        code("x = 20", count=7),
        code("print('x is', x + 1)"),
        setup="pass",
    )
    write(folder / "82_broken.ipynb", code("{}['gone']"), code("print('never')"), setup="pass")
    where = "import os, sys\nprint(os.getcwd(), sys.executable, profile.name, profile.device)"
    write(
        folder / "83_last.ipynb",
        code(where + "\nprint(os.environ['GPTLIB_CORPORA'])\nprint(os.getpid())"),
    )
    patch = pytest.MonkeyPatch()
    for name in STORED:  # what the tests run under must not be what makes them pass
        patch.delenv(name)
    patch.setenv("GPTLIB_RUNS", str(folder.parent / "runs"))
    said = []
    results = run_course([], notebooks=folder, say=said.append)
    patch.undo()
    return folder, results, "\n".join(said)


def test_a_failure_stops_neither_the_others_nor_the_report(course):
    _, results, said = course
    assert [not result.problem for result in results] == [True, False, True]
    assert "82_broken, cell 2: KeyError: 'gone'" in said
    rows = [line.split() for line in said.splitlines() if line.startswith("8")]
    assert [(row[0], row[1], row[3]) for row in rows[:3]] == [
        ("81_first", "3", "passed"),
        ("82_broken", "3", "FAILED"),
        ("83_last", "2", "passed"),
    ]


def test_executed_copies_and_an_index_are_kept(course):
    folder, _, _ = course
    out = folder.parent / "runs" / "course"
    copy = nbformat.read(out / "81_first.ipynb", 4)
    assert copy.cells[3].outputs[0].text == "x is 21\n"
    assert nbformat.read(folder / "81_first.ipynb", 4).cells[3].outputs == []  # untouched
    assert [cell.get("execution_count") for cell in copy.cells] == [None, 1, 2, 3]
    assert "x is 21" in (out / "81_first.html").read_text(encoding="utf-8")
    index = (out / "index.html").read_text(encoding="utf-8")
    assert 'href="81_first.html"' in index and "KeyError" in index and "failed" in index


def test_kernels_run_this_python_beside_the_notebooks_in_the_stored_environment(course):
    folder, _, _ = course
    copy = nbformat.read(folder.parent / "runs" / "course" / "83_last.ipynb", 4)
    printed = copy.cells[2].outputs[0].text.splitlines()
    assert printed[0] == f"{folder} {sys.executable} laptop cpu"
    assert printed[1] == "bundled"
    assert not psutil.pid_exists(int(printed[2]))  # no kernel is left running


def test_pictures_are_found_from_the_copies(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ASSETS", tmp_path / "assets")
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "dot.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    book = notebook()
    book.cells[0].source += "\n\n![a dot](../assets/dot.svg)"
    out = tmp_path / "runs" / "course"
    write_pages(book, "81_first", out)
    page = (out / "81_first.html").read_text(encoding="utf-8")
    assert "data:image/svg+xml;base64," in page and "../assets" not in page
    assert "![a dot](../../assets/dot.svg)" in (out / "81_first.ipynb").read_text(encoding="utf-8")


def test_stored_outputs_are_the_same_each_time_and_carry_no_time(tmp_path):
    path = write(
        tmp_path / "81_first.ipynb", code("print(1)\nprint(2)"), counted=False, setup="pass"
    )
    book = nbformat.read(path, 4)
    book.metadata["language_info"]["version"] = "3.9"
    book.cells[2]["id"], book.cells[2].metadata["collapsed"] = "random", True
    nbformat.write(book, path)
    store_outputs(path)
    first = path.read_bytes()
    store_outputs(path)
    assert path.read_bytes() == first
    book = nbformat.read(path, 4)
    assert [cell.id for cell in book.cells] == ["cell-01", "cell-02", "cell-03"]
    assert "version" not in book.metadata.language_info
    assert book.cells[2].outputs[0].text == "1\n2\n" and book.cells[2].execution_count == 2


def test_nbval_compares_a_notebook_from_whatever_folder_pytest_is_called_in(tmp_path):
    for name in ("conftest.py", "pyproject.toml", "tests/nbval_sanitize.cfg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(paths.REPOSITORY / name, tmp_path / name)
    same = code("print(object())", output="<object object at 0x123456>\n")
    path = write(tmp_path / "notebooks/81_first.ipynb", same, code("1", output="2\n"), setup="pass")
    variables = {**os.environ, "PYTHONPATH": str(paths.REPOSITORY)}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", path.name]
    done = subprocess.run(command, cwd=path.parent, env=variables, capture_output=True, text=True)
    assert "1 failed, 2 passed" in done.stdout, done.stdout


def test_a_notebook_that_fails_is_not_stored(tmp_path):
    path = write(tmp_path / "81_first.ipynb", code("1 / 0"), setup="pass")
    before = path.read_bytes()
    with pytest.raises(CourseError, match="cell 2: ZeroDivisionError"):
        store_outputs(path)
    assert path.read_bytes() == before


def test_notebooks_are_chosen_by_number_or_name(tmp_path):
    for name in ("01_bytes", "02_attention", "10_more"):
        write(tmp_path / f"{name}.ipynb")

    def chosen(*wanted):
        return [path.stem for path in find_notebooks(wanted, tmp_path)]

    assert chosen() == ["01_bytes", "02_attention", "10_more"]
    assert chosen("2", "01") == ["01_bytes", "02_attention"]
    assert chosen("10_more.ipynb") == ["10_more"] and chosen("02_att") == ["02_attention"]
    for wish in ("7", "att", ""):
        with pytest.raises(CourseError, match="there are 01_bytes"):
            chosen(wish)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
def test_ctrl_c_stops_the_kernel_and_still_reports(tmp_path):
    mark = tmp_path / "kernel"
    sleep = f"import os, time\nopen({str(mark)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    path = write(tmp_path / "notebooks" / "81_first.ipynb", code(sleep), setup="pass")
    code_to_run = (
        "import sys, pathlib, gptcourse.notebooks.run as runner\n"
        f"runner.run_course([], notebooks=pathlib.Path({str(path.parent)!r}))"
    )
    environment = {**os.environ, "GPTLIB_RUNS": str(tmp_path / "runs")}
    running = subprocess.Popen(
        [sys.executable, "-c", code_to_run], env=environment, stdout=subprocess.PIPE, text=True
    )
    until(lambda: mark.exists() and mark.read_text())
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=20)
    assert running.returncode != 0 and "stopped in 81_first" in said and "executed copies" in said
    until(lambda: not psutil.pid_exists(int(mark.read_text())))
