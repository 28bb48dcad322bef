"""The set-up cell: one text, letter for letter the same in every notebook.

The repository's address stands here and nowhere else; ``python -m gptlib course publish`` changes
that line, and rewrites from it the cells, the notebooks' links and the README.
"""

from typing import NamedTuple


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
# Set-up, the same in every notebook: find gptlib, install what is missing, look at the machine.
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
found = [place for place in places if (place / "gptlib" / "course").is_dir()]
if not found and find_spec("gptlib") is None:  # Colab, or Kaggle with internet
    os.environ["GIT_TERMINAL_PROMPT"] = "0"  # fail rather than wait for a password
    command = ["git", "clone", "-q", "--depth=1", "--branch", TAG, REPOSITORY, "gptlib-course"]
    if subprocess.run(command).returncode:
        way_out = "@WAY_OUT@"
        raise RuntimeError(f"cannot clone {REPOSITORY} at {TAG}: {way_out}")
    found = [here / "gptlib-course"]
sys.path[:0] = map(str, found[:1])
import gptlib.dependencies

gptlib.dependencies.install_missing()
profile = gptlib.setup()"""

REACHABLE = "switch the internet on, or attach the course as a data set"
UNPUBLISHED = "no address yet: open this notebook inside a copy of the course"


def setup_cell(address: Address = HOME) -> str:
    """Return the source of the set-up cell for a course that is kept at ``address``."""
    text = TEMPLATE.replace("@REPOSITORY@", address.repository).replace("@TAG@", address.tag)
    return text.replace("@WAY_OUT@", REACHABLE if address.published else UNPUBLISHED)
