"""What pytest runs under, set before anything is imported, and inherited by every kernel.

The small models, the CPU and the bundled texts: the same numbers on every machine.
"""

import atexit
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from gptcourse import STORED

RUNS = tempfile.mkdtemp(prefix="gptlib-runs-")  # training runs of tests and notebooks
atexit.register(shutil.rmtree, RUNS, ignore_errors=True)

os.environ.update(STORED)
os.environ["GPTLIB_RUNS"] = RUNS
os.environ["JUPYTER_PLATFORM_DIRS"] = "1"  # else jupyter_core warns about its old folders
os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # else debugpy warns about frozen modules

# A shell starts a job in the background with Ctrl-C ignored, and so would be all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Let nbval find its file from whatever folder pytest was called in."""
    if not config.option.nbval_sanitize_with:
        cfg = Path(__file__).parent / "tests" / "nbval_sanitize.cfg"
        config.option.nbval_sanitize_with = str(cfg)
