"""The set-up cell, letter for letter the same in every notebook, and what it calls.

Colab and Kaggle bring most packages with them. What is missing or too old is installed, no more:
their torch, numpy and IPython belong to the machine's drivers and to the running kernel, and are
never installed, upgraded or replaced. Standard library only, up to the last step of :func:`setup`.

The repository's address stands here and nowhere else; ``python -m gptcourse publish`` changes
that line, and rewrites from it the cells, the notebooks' links and the README.
"""

import importlib
import re
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from gptcourse import paths
from gptcourse.errors import CourseError

NEVER = ("torch", "numpy", "ipython")
PIP = [sys.executable, "-m", "pip", "install", "--quiet", "--retries=1"]
PIP += ["--disable-pip-version-check"]


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


def install_missing(root: Path = paths.REPOSITORY) -> None:
    """Install the requirements in ``pyproject.toml`` that are missing, or below their bound.

    With pip, from ``wheels/`` beside the package where there is one. Every package that gptlib
    needs is imported under the name by which it is installed. A torch, numpy or IPython that is
    too old is named and stays. Raises CourseError with the way out when pip fails, or when
    one of these three is missing.
    """
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    declared = {name_of(line): line for line in tomllib.loads(text)["project"]["dependencies"]}
    missing = [name for name in declared if find_spec(name) is None]
    if refused := ", ".join(name for name in missing if name in NEVER):
        raise CourseError(
            f"{refused} is missing from this Python ({sys.executable}): run pip install -r "
            "requirements.txt in the course's folder, then restart the kernel"
        )
    for name, line in declared.items():
        if too_old(line, here := installed(name)) and name not in missing:
            print(f"older than gptlib needs: {name} {here} ({line})")
            missing += [] if name in NEVER else [name]
    if not missing:
        return
    names = ", ".join(missing)
    print("installing:", names)
    wheels = root / "wheels"  # in a data set attached on Kaggle without internet
    local = ["--no-index", f"--find-links={wheels}"] if wheels.is_dir() else []
    with tempfile.TemporaryDirectory() as folder:
        pins = Path(folder) / "constraints.txt"  # or pip would touch torch on the way
        pins.write_text("\n".join(f"{n}=={v}" for n in NEVER if (v := installed(n))))
        lines = [declared[name] for name in missing]
        command = [*PIP, f"--constraint={pins}", *local, *lines]
        done = subprocess.run(command, capture_output=True, text=True)
    importlib.invalidate_caches()
    if done.returncode:
        last = (done.stderr.strip() or "pip said nothing").splitlines()[-1]
        raise CourseError(
            f"could not install {names}: switch the internet on (Kaggle: Settings → Internet) or "
            f"put their wheels into {wheels} ({last})"
        )


def name_of(requirement: str) -> str:
    """The package that a line such as ``torch>=2.10`` asks for."""
    return re.split(r"[<>=!~;\[ ]", requirement, maxsplit=1)[0]


def installed(name: str) -> str | None:
    """The version of a package that is here."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def too_old(requirement: str, here: str | None) -> bool:
    """Whether the version that is here is below a requirement's least."""
    least, found = re.search(r">=([\d.]+)", requirement), re.match(r"[\d.]+", here or "")
    if not (least and found):
        return False
    old, new = (list(map(int, re.findall(r"\d+", text))) for text in (found[0], least[1]))
    return old < new
