"""``python -m gptcourse``: one-line errors, notebooks that are run, refreshed and opened."""

import subprocess
import sys

import pytest
from course_notebooks import code, write

from gptcourse import cli, paths
from gptcourse.notebooks import guards, runner


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


@pytest.mark.parametrize("command", [[], ["run"], ["prove"]])
def test_help_is_there_for_every_command(gptcourse, command):
    exit_code, out, _ = gptcourse(*command, "--help")
    assert exit_code == 0
    assert out.startswith(f"Usage: {' '.join(['python -m gptcourse', *command])} ")


BAD = [
    (["run", "77"], "no notebook begins with '77'"),
    (["refresh", "--check", "--execute"], "choose one"),
    (["publish", "--repository", "x", "--tag", "v1"], "no address like"),
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
    assert len(err.splitlines()) == 1 or err.startswith("Usage")
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


def test_open_starts_jupyterlab_on_the_notebooks(gptcourse, course, monkeypatch):
    started = []

    def run(command, env):
        started.append((command, env))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    assert gptcourse("open")[0] == 0
    ((command, env),) = started
    assert command[:3] == [sys.executable, "-m", "jupyterlab"]
    assert f"--ServerApp.root_dir={course.parent}" in command
    assert "--LabApp.default_url=/lab/tree/notebooks" in command
    assert env["PYTHONPATH"].startswith(str(paths.REPOSITORY))


def test_open_starts_jupyterlab_on_an_edition_wherever_it_is(
    gptcourse, course, monkeypatch, tmp_path_factory
):
    started = []

    def run(command, env):
        started.append((command, env))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    inside, outside = course.parent / "my course", tmp_path_factory.mktemp("mine")
    inside.mkdir()
    assert [gptcourse("open", str(folder))[0] for folder in (inside, outside)] == [0, 0]
    assert f"--ServerApp.root_dir={course.parent}" in started[0][0]
    assert "--LabApp.default_url=/lab/tree/my%20course" in started[0][0]
    assert f"--ServerApp.root_dir={outside}" in started[1][0]
    code, _, error = gptcourse("open", str(outside / "none"))
    assert code == 2 and "there is no folder" in error


def test_ctrl_c_is_one_word(gptcourse, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run_course", stop)
    exit_code, _, err = gptcourse("run")
    assert exit_code == 130 and len(err.split()) <= 1
