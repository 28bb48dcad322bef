"""Only what is missing is installed, and never torch, numpy or IPython."""

from pathlib import Path

import pytest

from gptcourse import setup
from gptcourse.errors import PackagesMissing
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


def test_pip_gets_the_missing_and_may_not_touch_torch_or_numpy(course, pip_calls, capsys):
    install_missing(course("no_such_package>=2.1,<3", "torch>=2.10"))
    command, constraints = pip_calls[0]
    assert command[-1] == "no_such_package>=2.1,<3" and "torch>=2.10" not in command
    assert {line.split("==")[0] for line in constraints} >= {"torch", "numpy"}
    assert capsys.readouterr().out == "installing what is missing: no_such_package\n"


def test_wheels_beside_the_package_are_used_without_the_network(course, pip_calls):
    root = course("no_such_package")
    (root / "wheels").mkdir()
    install_missing(root)
    assert "--no-index" in pip_calls[0][0] and str(root / "wheels") in pip_calls[0][0]


def test_a_missing_torch_is_refused_with_advice(course, pip_calls, monkeypatch):
    monkeypatch.setattr(setup.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PackagesMissing, match=r"torch is missing.*requirements\.txt"):
        install_missing(course("torch>=2.10", "loguru"))
    assert pip_calls == []


def test_no_internet_is_one_clear_line(course, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(PackagesMissing, match="switch the internet on") as failure:
        install_missing(course("no_such_package"))
    assert "no_such_package" in str(failure.value) and "\n" not in str(failure.value)
