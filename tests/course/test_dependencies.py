"""Only what is missing or too old is installed, never torch or numpy; bounds are tested."""

import importlib
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import gptcourse
from gptcourse import setup
from gptcourse.errors import CourseError
from gptcourse.paths import REPOSITORY
from gptcourse.setup import install_missing, name_of, too_old


@pytest.fixture
def course(tmp_path):
    """A folder whose pyproject.toml asks for what the test writes."""

    def write(*requirements):
        listed = ", ".join(f'"{line}"' for line in requirements)
        (tmp_path / "pyproject.toml").write_text(f"[project]\ndependencies = [{listed}]\n")
        return tmp_path

    return write


@pytest.fixture
def pip_calls(monkeypatch):
    """Record pip's command lines instead of running them; the constraints are read in time."""
    calls = []

    def run(command, **settings):
        (pins,) = (word for word in command if word.startswith("--constraint="))
        calls.append((command, Path(pins.partition("=")[2]).read_text().split()))
        return setup.subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(setup.subprocess, "run", run)
    return calls


def test_this_environment_misses_nothing(pip_calls, capsys):
    install_missing()
    assert pip_calls == [] and capsys.readouterr().out == ""


def test_pip_gets_the_missing_and_may_not_touch_torch_or_numpy(course, pip_calls, capsys):
    install_missing(course("no_such_package>=2.1,<3", "torch>=2.10", "json>=1"))
    command, constraints = pip_calls[0]
    assert command[-1] == "no_such_package>=2.1,<3" and "torch>=2.10" not in command
    assert {line.split("==")[0] for line in constraints} >= {"torch", "numpy"}
    assert capsys.readouterr().out == "installing: no_such_package\n"


@pytest.mark.parametrize(
    ("requirement", "here", "old"),
    [
        ("numpy>=1.26", "1.25.9", True),
        ("numpy>=1.26", "1.26.0", False),
        ("torch>=2.10", "2.9.1+cu128", True),
        ("torch>=2.10,<3", "2.10.0+cu128", False),
        ("numpy", "0.1", False),
        ("numpy>=2", None, False),
    ],
)
def test_a_version_below_the_bound_is_too_old(requirement, here, old):
    assert too_old(requirement, here) is old


def test_what_is_too_old_is_named_and_renewed_but_torch_stays(course, pip_calls, capsys):
    install_missing(course("torch>=99", "loguru>=99"))
    said = capsys.readouterr().out
    assert "older than gptlib needs: torch " in said and "(torch>=99)" in said
    assert "older than gptlib needs: loguru " in said and said.endswith("installing: loguru\n")
    assert pip_calls[0][0][-1] == "loguru>=99"


def test_a_missing_torch_is_refused_with_advice(course, pip_calls, monkeypatch):
    monkeypatch.setattr(setup, "find_spec", lambda name: None)
    with pytest.raises(CourseError, match=r"torch is missing.*requirements\.txt"):
        install_missing(course("torch>=2.10", "loguru"))
    assert pip_calls == []


def test_no_internet_is_one_clear_line(course, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(CourseError, match="switch the internet on") as failure:
        install_missing(course("no_such_package"))
    assert "no_such_package" in str(failure.value) and "\n" not in str(failure.value)


def pins(path):
    """Package → version in a file of constraints or requirements."""
    return dict(re.findall(r"^([\w-]+)==(\S+)$", (REPOSITORY / path).read_text(), flags=re.M))


def test_every_lower_bound_is_one_that_ci_installs():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = [*project["dependencies"], *extras["near-duplicates"], *extras["course"]]
    declared += [line for line in extras["test"] if line.startswith(("psutil", "transformers"))]
    lowest, tested = pins("tests/constraints-lowest.txt"), pins("requirements.txt")
    assert lowest.keys() == {name_of(line) for line in declared} <= tested.keys()
    for line in declared:
        bound = re.search(r">=([\d.]+)", line)[1]
        assert re.match(rf"{re.escape(bound)}(\.|$)", lowest[name_of(line)]), line
        assert not too_old(line, tested[name_of(line)])


def test_an_old_python_is_refused_at_once_by_name(monkeypatch):
    check = re.search("-c '(.*?)'\n", (REPOSITORY / ".ci" / "run").read_text(), flags=re.S)[1]
    old = f"import sys; sys.version_info = (3, 10, 12)\n{check}"
    done = subprocess.run([sys.executable, "-c", old], capture_output=True, text=True)
    assert done.returncode == 1 and "needs Python 3.11 or newer" in done.stderr
    monkeypatch.setattr(sys, "version_info", (3, 10, 12))
    with pytest.raises(SystemExit, match=r"gptlib needs Python 3\.11 or newer, this is"):
        runpy.run_path(str(REPOSITORY / "setup.py"))
    with pytest.raises(ImportError, match=r"the course needs Python 3\.11 or newer, this is"):
        importlib.reload(gptcourse)
