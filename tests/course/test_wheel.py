"""Installed from a wheel, gptlib works anywhere: its folders and its samples travel with it."""

import os
import shutil
import subprocess
import sys
import tomllib

import pytest

from gptcourse.paths import REPOSITORY

DECLARED = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """What the wheel holds, laid out as pip does, and nothing else of this repository."""
    site = tmp_path_factory.mktemp("site-packages")
    for package in DECLARED["packages"]:
        source = REPOSITORY / DECLARED["package-dir"].get(package, package.replace(".", "/"))
        target = site / package.replace(".", "/")
        target.mkdir(exist_ok=True)
        for pattern in ["*.py", *DECLARED["package-data"].get(package, [])]:
            for file in source.glob(pattern):
                shutil.copy(file, target)
    return site


def test_the_wheel_holds_every_file_of_the_package(installed):
    there = {path.relative_to(REPOSITORY) for path in (REPOSITORY / "gptlib").rglob("*.py")}
    assert {path.relative_to(installed) for path in installed.rglob("*.py")} == there


COMMANDS = """
train sample-story --steps 20 --tokenizer characters --context-length 16 --n-layers 1 --n-heads 2 --width 16 --out run
generate --model run --prompt The --max-new-tokens 8
plot run
export run model
evaluate --model run text.txt
"""  # noqa: E501
PROGRAM = """
import runpy, sys
for command in sys.stdin.read().split("\\n"):
    sys.argv = ["gptlib", *command.split()]
    try:
        runpy.run_module("gptlib", run_name="__main__")
    except SystemExit as stop:
        assert not stop.code, command
"""


def test_elsewhere_it_trains_writes_draws_and_evaluates(installed, tmp_path):
    (tmp_path / "text.txt").write_text("I read it standing.")
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM],
        input=COMMANDS.strip(),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "\nThe" in done.stdout and (tmp_path / "model" / "config.json").is_file()
    for words in ("loss.png", "exported", "perplexity"):
        assert words in done.stdout
