"""The set-up cell: one text, letter for letter the same in every notebook.

The repository's address stands here and nowhere else; ``python -m gptlib course publish`` changes
these two lines, and rewrites from them the cells, the notebooks' links and the README.
"""

REPOSITORY = "https://github.com/OWNER/gptlib"  # OWNER: not published yet
TAG = "main"

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


def is_published(repository: str) -> bool:
    """Return whether this is an address from which the course can be cloned."""
    return "/OWNER/" not in repository


def setup_cell(repository: str = REPOSITORY, tag: str = TAG) -> str:
    """Return the source of the set-up cell for a course kept at ``repository`` under ``tag``."""
    way_out = REACHABLE if is_published(repository) else UNPUBLISHED
    text = TEMPLATE.replace("@REPOSITORY@", repository).replace("@TAG@", tag)
    return text.replace("@WAY_OUT@", way_out)
