"""The set-up cell, letter for letter the same in every notebook, and what it calls.

Colab and Kaggle bring most packages with them. What is missing or too old is installed, no more:
their torch, numpy and IPython belong to the machine's drivers and to the running kernel, and are
never installed, upgraded or replaced. Standard library only, up to the last step of :func:`setup`.

The repository's address stands here and nowhere else; ``python -m gptcourse publish`` changes
that line, and rewrites from it the cells, the notebooks' links and the README.
"""

import importlib
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from gptcourse import paths
from gptcourse.errors import PackagesMissing

NEVER = ("torch", "numpy", "ipython")


class Address(NamedTuple):
    """Where the course can be cloned from."""

    repository: str
    tag: str  # or a branch

    @property
    def published(self) -> bool:
        """Whether this is a real address yet."""
        return self.slug != "OWNER/gptlib"

    @property
    def slug(self) -> str:
        """Owner and name, as Colab's and Kaggle's links want them."""
        return self.repository.removeprefix("https://github.com/")


HOME = Address("https://github.com/OWNER/gptlib", "main")

TEMPLATE = """\
# Set-up, the same in every notebook: find the course, install what is missing, look at the machine.
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

REPOSITORY, TAG = "@REPOSITORY@", "@TAG@"
here = Path.cwd()
places = [here, *here.parents, here / "gptlib-course"]  # this repository, or a clone
for level in ("*", "*/*", "datasets/*/*", "datasets/*/*/*"):  # a data set attached on Kaggle
    places += sorted(Path("/kaggle/input").glob(level))
found = [p for p in places if (p / "gptcourse").is_dir() and (p / "gptlib").is_dir()]
if not found and find_spec("gptcourse") is None:  # Colab, or Kaggle with internet
    os.environ["GIT_TERMINAL_PROMPT"] = "0"  # fail rather than wait for a password
    command = ["git", "clone", "-q", "--depth=1", "--branch", TAG, REPOSITORY, "gptlib-course"]
    if subprocess.run(command).returncode:
        way_out = "@WAY_OUT@"
        raise RuntimeError(f"cannot clone {REPOSITORY} at {TAG}: {way_out}")
    found = [here / "gptlib-course"]
sys.path[:0] = map(str, found[:1])
from gptcourse.setup import setup

profile = setup()"""

REACHABLE = "switch the internet on, or attach the course as a data set"
UNPUBLISHED = "no address yet: open this notebook inside a copy of the course"


def setup_cell(address: Address = HOME) -> str:
    """Return the source of the set-up cell for a course that is kept at ``address``."""
    text = TEMPLATE.replace("@REPOSITORY@", address.repository).replace("@TAG@", address.tag)
    return text.replace("@WAY_OUT@", REACHABLE if address.published else UNPUBLISHED)


def setup() -> Any:
    """Install what is missing, look at the machine, and say what was found.

    Returns what :func:`gptlib.setup` returns: the profile, by which cells choose their sizes.
    """
    install_missing()
    return importlib.import_module("gptlib").setup()  # after the installation: it needs torch


def missing(root: Path = paths.REPOSITORY) -> list[str]:
    """Return the requirements in ``pyproject.toml`` whose package is missing, or below its bound.

    Every package that gptlib needs is imported under the name by which it is installed.
    An installed copy of gptlib has no ``pyproject.toml`` beside it: pip has seen to the rest.
    """
    declared = root / "pyproject.toml"
    if not declared.is_file():
        return []
    wanted = tomllib.loads(declared.read_text(encoding="utf-8"))["project"]["dependencies"]
    return [line for line in wanted if not _met(line)]


def install_missing(root: Path = paths.REPOSITORY) -> list[str]:
    """Install what is missing with pip, from ``wheels/`` beside the package where there is one.

    Returns the requirements that were installed; raises PackagesMissing with the way out when
    that fails, or when one of torch, numpy and IPython is what is missing.
    """
    wanted = missing(root)
    refused = [line for line in wanted if _name(line) in NEVER]
    if refused:
        raise PackagesMissing(
            f"{', '.join(refused)} is missing from this Python ({sys.executable}), or too old: "
            "run pip install -r requirements.txt in the course's folder, then restart the kernel"
        )
    if not wanted:
        return []
    print("installing what is missing or too old:", ", ".join(wanted))
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("\n".join(_keep_installed()), encoding="utf-8")
        done = subprocess.run(
            _pip_command(wanted, constraints, root / "wheels"), capture_output=True, text=True
        )
    importlib.invalidate_caches()
    if done.returncode:
        last = (done.stderr.strip() or "pip said nothing").splitlines()[-1]
        raise PackagesMissing(
            f"could not install {', '.join(map(_name, wanted))}: switch the internet on "
            f"(Kaggle: Settings → Internet) or put their wheels into {root / 'wheels'} ({last})"
        )
    return wanted


def _name(requirement: str) -> str:
    return re.split(r"[<>=!~;\[ ]", requirement, maxsplit=1)[0]


def _met(requirement: str) -> bool:
    """Whether a package is there, in a version that is not below the requirement's lower bound."""
    bound = re.search(r">=([\d.]+)", requirement)
    if importlib.util.find_spec(_name(requirement)) is None:
        return False
    try:
        version = importlib.metadata.version(_name(requirement))
    except importlib.metadata.PackageNotFoundError:
        return True  # nothing says how old it is
    return bound is None or _numbers(version) >= _numbers(bound[1])


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:3]]


def _keep_installed() -> list[str]:
    """Return pins that forbid pip to touch torch, numpy and IPython on the way."""
    pins = []
    for name in NEVER:
        try:
            pins.append(f"{name}=={importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return pins


def _pip_command(wanted: list[str], constraints: Path, wheels: Path) -> list[str]:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--retries", "1"]
    command += ["--disable-pip-version-check", "--constraint", str(constraints)]
    if wheels.is_dir():  # a data set attached on Kaggle without internet
        command += ["--no-index", "--find-links", str(wheels)]
    return command + wanted
