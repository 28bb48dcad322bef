"""What pytest runs under, set before anything is imported, and inherited by every kernel.

The small models, the CPU and the bundled texts: the same numbers on every machine.
"""

import atexit
import os
import shutil
import signal
import tempfile
from collections.abc import Generator
from contextlib import nullcontext
from pathlib import Path

import pytest
from filelock import FileLock

from gptcourse import STORED

# Training runs of tests and notebooks; a worker's folder lies in that of the process above it.
WORKER = "PYTEST_XDIST_WORKER" in os.environ
RUNS = tempfile.mkdtemp(prefix="gptlib-runs-", dir=os.environ["GPTLIB_RUNS"] if WORKER else None)
atexit.register(shutil.rmtree, RUNS, ignore_errors=True)

os.environ.update(STORED)
os.environ["GPTLIB_RUNS"] = RUNS
os.environ["JUPYTER_PLATFORM_DIRS"] = "1"  # else jupyter_core warns about its old folders
os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # else debugpy warns about frozen modules

# A shell starts a job in the background with Ctrl-C ignored, and so would be all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


WORKERS = 2
# A worker takes whole files, these first: whoever draws a long one last works alone at the end.
LONGEST_FIRST = (
    "05_pretraining_the_verdict.ipynb",
    "07_pretraining_darija.ipynb",
    "09_gradient_norms_and_throughput.ipynb",
    "test_grading.py",
    "06_pretraining_wikipedia.ipynb",
    "08_openai_weights.ipynb",
    "04_gpt2_124m.ipynb",
    "03_transformer_block.ipynb",
    "test_wheel.py",
    "test_kills.py",
)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Share more than one file between workers; `-n 0`, `-s` and `--pdb` keep one process."""
    option = config.option
    if WORKER or not hasattr(option, "numprocesses"):  # -p no:xdist
        return
    watched = option.capture == "no" or option.usepdb or option.collectonly
    one_file = len(config.args) == 1 and Path(config.args[0].partition("::")[0]).is_file()
    shared = not (watched or one_file) and (os.cpu_count() or 1) >= WORKERS
    if option.numprocesses is None and shared:
        option.numprocesses = WORKERS
    if option.numprocesses and option.dist == "no":
        option.dist = "loadfile"  # a notebook's cells belong to one kernel, in order
        option.loadscopereorder = False
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # two that each take all cores take longer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where workers share the files, the longest go first."""
    if WORKER:
        rank = {name: place for place, name in enumerate(LONGEST_FIRST)}
        items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """One worker at a time starts a kernel: of two that started together, one has died."""
    waits = WORKER and item.path.suffix == ".ipynb"
    with FileLock(Path(RUNS).parent / "kernels.lock") if waits else nullcontext():
        return (yield)


def pytest_configure(config: pytest.Config) -> None:
    """Let nbval find its file from whatever folder pytest was called in."""
    if not config.option.nbval_sanitize_with:
        cfg = Path(__file__).parent / "tests" / "nbval_sanitize.cfg"
        config.option.nbval_sanitize_with = str(cfg)
