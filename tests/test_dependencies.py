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
from gptcourse.errors import PackagesMissing
from gptcourse.paths import REPOSITORY
from gptcourse.setup import install_missing, missing


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
        constraints = command[command.index("--constraint") + 1]
        calls.append((command, Path(constraints).read_text().split()))
        return setup.subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(setup.subprocess, "run", run)
    return calls


def test_this_environment_misses_nothing(pip_calls):
    assert install_missing() == [] and pip_calls == []


def test_only_what_cannot_be_imported_is_missing(course):
    assert missing(course("json>=1", "no_such_package>=2.1", "tomllib")) == ["no_such_package>=2.1"]


@pytest.mark.parametrize(
    ("bound", "old"),
    [("pytest>=8", False), ("pytest>=9.1", True), ("pytest>=9.0.11,<10", True), ("pytest", False)],
)
def test_a_version_below_the_bound_is_as_good_as_missing(course, bound, old, monkeypatch):
    monkeypatch.setattr(setup.importlib.metadata, "version", lambda name: "9.0.10+cpu")
    assert missing(course(bound)) == ([bound] if old else [])


def test_pip_gets_the_missing_and_may_not_touch_torch_or_numpy(course, pip_calls, capsys):
    install_missing(course("no_such_package>=2.1,<3", "torch>=2.10"))
    command, constraints = pip_calls[0]
    assert command[-1] == "no_such_package>=2.1,<3" and "torch>=2.10" not in command
    assert {line.split("==")[0] for line in constraints} >= {"torch", "numpy"}
    said = capsys.readouterr().out
    assert said == "installing what is missing or too old: no_such_package>=2.1,<3\n"


def test_wheels_beside_the_package_are_used_without_the_network(course, pip_calls):
    root = course("no_such_package")
    (root / "wheels").mkdir()
    install_missing(root)
    assert "--no-index" in pip_calls[0][0] and str(root / "wheels") in pip_calls[0][0]


def test_a_missing_torch_is_refused_with_advice(course, pip_calls, monkeypatch):
    monkeypatch.setattr(setup.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PackagesMissing, match=r"torch>=2.10 is missing.*requirements\.txt"):
        install_missing(course("torch>=2.10", "loguru"))
    assert pip_calls == []


def test_no_internet_is_one_clear_line(course, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(PackagesMissing, match="switch the internet on") as failure:
        install_missing(course("no_such_package"))
    assert "no_such_package" in str(failure.value) and "\n" not in str(failure.value)


def pins(path):
    """Package → version in a file of constraints or requirements."""
    return dict(re.findall(r"^([\w-]+)==(\S+)$", (REPOSITORY / path).read_text(), flags=re.M))


def test_every_lower_bound_is_one_that_ci_installs():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = [*project["dependencies"], *extras["near-duplicates"], *extras["course"]]
    declared += [line for line in extras["test"] if line.startswith("transformers")]
    lowest, tested = pins("tests/constraints-lowest.txt"), pins("requirements.txt")
    assert lowest.keys() == {setup._name(line) for line in declared} <= tested.keys()
    for line in declared:
        bound = re.search(r">=([\d.]+)", line)[1]
        assert re.match(rf"{re.escape(bound)}(\.|$)", lowest[setup._name(line)]), line
        assert setup._numbers(tested[setup._name(line)]) >= setup._numbers(bound)


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
