"""``python -m gptcourse``: one-line errors, notebooks that are run, refreshed and opened."""

import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from course_notebooks import code, write
from jupyter_server.services.contents.largefilemanager import LargeFileManager
from nbformat.v4 import new_output
from planted_exercises import EXERCISES, exercise

from gptcourse import cli, paths
from gptcourse.exercises import checks
from gptcourse.notebooks import guards
from gptcourse.notebooks import run as runner


@pytest.fixture
def gptcourse(monkeypatch, capsys):
    """Run a command in this process; return its exit code, output and errors."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["gptcourse", *map(str, arguments)])
        try:
            cli.main()
            exit_code = 0
        except SystemExit as stop:
            exit_code = stop.code or 0
        said = capsys.readouterr()
        return exit_code, said.out, said.err

    return run


NAMES = ["run", "open", "edition", "grade", "compare", "record", "refresh", "prove", "publish"]


@pytest.mark.parametrize("name", ["", *NAMES])
def test_help_is_there_for_every_command(gptcourse, name):
    exit_code, out, _ = gptcourse(*name.split(), "--help")
    assert exit_code == 0 and out.startswith(f"usage: python -m gptcourse {name}".rstrip() + " ")
    assert name or [line.split()[0] for line in re.findall(r"(?m)^    [a-z].*", out)] == NAMES
    assert name != "grade" or "no security sandbox" in " ".join(out.split())


AT_ONCE = """
import sys
sys.argv[1:] = ["--help"]
from gptcourse.cli import main
try:
    main()
except SystemExit:
    assert not {"torch", "matplotlib", "nbformat"} & {*sys.modules}
import gptcourse.grading.grade, gptcourse.notebooks.edition, gptcourse.reference_runs, gptlib.plots
assert "torch" not in sys.modules
"""


def test_help_answers_at_once_and_grading_and_drawing_load_no_torch():
    subprocess.run([sys.executable, "-c", AT_ONCE], stdout=subprocess.DEVNULL, check=True)


BAD = [
    (["run", "77"], "no notebook begins with '77'"),
    (["run", "--rael"], "unrecognized arguments: --rael: see python -m gptcourse --help"),
    (["refresh", "--check", "--execute"], "choose one"),
    (["publish", "--repository", "x", "--tag", "v1"], "no address like"),
    (["edition", "teacher", "out"], "invalid choice: 'teacher'"),
    (["grade", "x", "--memory", "nan"], "--seconds and --memory are 1 or more"),
    (
        ["grade", "x", "--seconds", "4GB"],
        "invalid float value: '4GB': see python -m gptcourse grad",
    ),
    (["compare", "nowhere", "05-sample-story"], "no metrics in"),
    (["record", "nothing", "x"], "no recording 'nothing'"),
    (["fly"], "fly"),
]


@pytest.mark.parametrize(("command", "words"), BAD, ids=[" ".join(command) for command, _ in BAD])
def test_bad_input_is_a_clear_error_with_exit_code_2(
    gptcourse, tmp_path, monkeypatch, command, words
):
    write(tmp_path / "notebooks" / "01_bytes.ipynb")
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setenv("GPTLIB_RUNS", str(tmp_path / "runs"))
    exit_code, _, err = gptcourse(*command)
    assert exit_code == 2 and words in err and "Traceback" not in err
    assert len(err.splitlines()) == 1 and err.startswith("error: ")
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def course(tmp_path, monkeypatch):
    """Two notebooks, of which one fails."""
    folder = tmp_path / "notebooks"
    write(folder / "81_good.ipynb", code("print(1)"), setup="pass", counted=False)
    write(folder / "82_bad.ipynb", code("1 / 0"), setup="pass")
    monkeypatch.setattr(paths, "NOTEBOOKS", folder)
    monkeypatch.setenv("GPTLIB_RUNS", str(tmp_path / "runs"))
    return folder


def test_run_fails_when_a_notebook_fails(gptcourse, course):
    exit_code, out, _ = gptcourse("run")
    assert exit_code == 1 and "82_bad, cell 2: ZeroDivisionError" in out
    exit_code, out, _ = gptcourse("run", "81")
    assert exit_code == 0 and "82_bad" not in out


def test_refresh_checks_then_writes_then_stores(gptcourse, course):
    exit_code, out, _ = gptcourse("refresh", "81", "--check")
    assert exit_code == 1 and "+profile = setup()" in out
    exit_code, out, _ = gptcourse("refresh", "81", "--execute")
    assert exit_code == 0 and "81_good:" in out
    assert gptcourse("refresh", "81", "--check")[0] == 0
    assert guards.complaints(course / "81_good.ipynb") == []


@pytest.fixture
def opened(gptcourse, course, monkeypatch, tmp_path):
    """Open a folder, up to where this process would turn into JupyterLab; return its options."""

    class Started(Exception):
        pass

    def start(program, command, env):
        assert command[:3] == [program, "-m", "jupyterlab"]
        assert env["PYTHONPATH"].startswith(str(paths.REPOSITORY))
        raise Started(command[3:])

    monkeypatch.setattr(os, "execve", start)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))

    def run(*arguments):
        with pytest.raises(Started) as started:
            gptcourse("open", *arguments)
        return started.value.args[0]

    return run


def test_open_shows_the_first_notebook(opened, course):
    first, second, *_ = opened()
    assert first == f"--ServerApp.root_dir={course.parent}"
    assert second == "--LabApp.default_url=/lab/tree/notebooks/81_good.ipynb"


def test_open_takes_an_edition_wherever_it_is(opened, gptcourse, course, tmp_path_factory):
    inside, outside = course.parent / "my course", tmp_path_factory.mktemp("mine")
    inside.mkdir()
    write(inside / "82_next.ipynb")
    first, second, *_ = opened(inside)
    assert first == f"--ServerApp.root_dir={course.parent}"
    assert second == "--LabApp.default_url=/lab/tree/my%20course/82_next.ipynb"
    assert opened(outside)[0] == f"--ServerApp.root_dir={outside}"
    code, _, error = gptcourse("open", outside / "none")
    assert code == 2 and "there is no folder" in error


def test_open_hands_further_options_to_jupyterlab(opened, course):
    for arguments in (("--allow-root", "--port=9"), (course, "--allow-root", "--port=9")):
        *_, first, second = opened(*arguments)
        assert (first, second) == ("--allow-root", "--port=9")


def trusted(path):
    """Whether Jupyter's server tells the page that it may show all that the outputs hold."""
    manager = LargeFileManager(root_dir=str(path.parent), parent=None)
    cells = manager.get(path.name)["content"]["cells"]
    return all(cell["metadata"]["trusted"] for cell in cells if cell["cell_type"] == "code")


def test_open_lets_the_courses_own_drawings_be_seen_and_trusts_no_other(opened, course, tmp_path):
    drawn = code("drawing('map-01')")
    drawn.outputs = [new_output("display_data", {"image/svg+xml": "<svg/>", "text/plain": "a map"})]
    own = write(course / "83_drawn.ipynb", drawn)
    other = write(tmp_path / "handed in" / "83_drawn.ipynb", drawn, code("1"))
    (course / "84_broken.ipynb").write_text("{")
    opened(other.parent)
    assert not trusted(own)
    opened()
    assert trusted(own) and not trusted(other)


def test_prove_proves_the_notebooks_that_are_named_and_fails_where_a_check_does(
    gptcourse, tmp_path, monkeypatch
):
    for number in (81, 82, 83):
        write(tmp_path / f"{number}_planted.ipynb")
    total, wrong = EXERCISES["total"], exercise("wrong", sum, EXERCISES["total"].right)
    planted = {"total": total, "wrong": replace(wrong, notebook="82_planted")}
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(checks, "EXERCISES", planted)
    for wanted, expected, words in (
        (["81", "82"], 1, "FAILED: wrong"),
        ([], 1, "FAILED: wrong"),
        (["82"], 1, "FAILED: wrong"),
        (["81"], 0, "81_planted"),
        (["83"], 2, "no exercises to prove in 83_planted"),
    ):
        exit_code, out, err = gptcourse("prove", *wanted)
        assert exit_code == expected and words in out + err
        assert ("FAILED" in out) == (expected == 1)


def test_ctrl_c_is_one_word(gptcourse, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run_course", stop)
    exit_code, _, err = gptcourse("run")
    assert exit_code == 130 and not err
