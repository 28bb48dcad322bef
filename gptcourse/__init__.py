"""The course's own machinery: everything around the notebooks that is not GPT-2.

::

    setup                  the set-up cell, and what it installs
    drawings               the course's drawings, shown in a cell
    exercises              checks of the learner's own code
    reference_runs         "is my curve normal?"
    pages                  the pages that the next two write
    notebooks              runs them, holds them in step with gptlib, writes the learner edition
    grading                marks for a class
    cli                    python -m gptcourse

It imports :mod:`gptlib`; nothing there imports this. Without torch until an exercise is asked for.
"""

from importlib import import_module
from typing import Any

# What the tests run under, and what the stored outputs come from: the same on every machine.
STORED = {"GPTLIB_PROFILE": "laptop", "GPTLIB_DEVICE": "cpu", "GPTLIB_CORPORA": "bundled"}
# The real texts, at the size that fits this machine.
REAL = {"GPTLIB_CORPORA": ""}

# What the notebooks use, each imported on first use: exercises need torch, which takes seconds.
_HOMES = {
    "check": "gptcourse.exercises.checks",
    "swap": "gptcourse.exercises.swap",
    "drawing": "gptcourse.drawings",
}


def __getattr__(name: str) -> Any:
    """Import ``check``, ``swap`` or ``drawing`` from where it is defined."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'gptcourse' has no attribute {name!r}")
