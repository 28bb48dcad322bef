"""A process that judges a learner's cells, held to a time and an amount of memory."""

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from gptcourse import STORED
from gptcourse.errors import CourseError
from gptcourse.paths import REPOSITORY
from gptlib import paths

# -P: a file that a cell leaves in the working folder is not taken for a module.
PROGRAM = "import sys; sys.path[:0] = sys.argv[3:]; from gptcourse.grading.worker import main; "
PROGRAM += "main(*sys.argv[1:3])"
LOOK = 0.1  # seconds between two looks at its answers and its memory
START = 300.0  # seconds for imports: a cold disk, a machine that has much else to do
LEAST = 500 * 10**6  # bytes: PyTorch and the exercises take 300 MB before any cell runs


@dataclass(frozen=True)
class Limits:
    """What one exercise may take."""

    seconds: float = 60.0
    memory: int = 4 * 10**9  # bytes in main memory, of the process and all that it starts


def bytes_of(text: str) -> int:
    """Bytes of an amount such as ``4GB``; raises CourseError where it is none, or too little."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(MB|GB)", text.strip(), flags=re.IGNORECASE)
    if not found or float(found[1]) <= 0:
        raise CourseError(f"{text!r} is no amount of memory: write one such as 4GB or 1500MB")
    amount = round(float(found[1]) * {"MB": 10**6, "GB": 10**9}[found[2].upper()])
    if amount < LEAST:
        raise CourseError(f"{text} is too little: PyTorch alone needs 300MB, give 500MB or more")
    return amount


Answers = Generator[dict[str, Any], None, None]


class Ended(Exception):
    """The process is no more; the message says why, in words for the report."""


def answers(task: dict[str, Any], catalogue: str, limits: Limits) -> Answers:
    """Start a process, and yield its answers: on the imports, then on each exercise.

    It works in an empty folder that is thrown away, and ends with this generator: close it.

    Args:
        task: the imports and definitions of the notebook, the cells to judge by exercise, and
            the learner's other cells; see :func:`gptcourse.grading.worker.main`.
        catalogue: the module whose EXERCISES judge.
        limits: for each answer.

    Raises:
        Ended: no answer came within the limits, or none that is the worker's own.
    """
    variables = {"MPLBACKEND": "agg", "PYTHONIOENCODING": "utf-8:replace", **STORED}
    with tempfile.TemporaryDirectory(prefix="gptlib-grade-", ignore_cleanup_errors=True) as made:
        folder, work, token = Path(made), Path(made, "work"), secrets.token_hex(8)
        work.mkdir()
        (folder / "task.json").write_text(json.dumps({**task, "token": token}), encoding="utf-8")
        variables |= dict.fromkeys(("GPTLIB_RUNS", "TMPDIR", "TEMP", "TMP"), str(work))
        with open(folder / "answers", "ab") as channel, open(folder / "answers", "rb") as came:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", PROGRAM, made, catalogue, str(REPOSITORY)],
                stdin=subprocess.PIPE,  # closed when the grader is gone: the worker ends as well
                stdout=channel,
                stderr=subprocess.DEVNULL,
                cwd=work,
                env=paths.variables(**variables),
                start_new_session=True,  # Ctrl-C is for the grader, which ends this process
            )
            family = {process.pid: psutil.Process(process.pid)}
            try:
                seconds = START
                for _ in range(1 + len(task["cells"])):
                    line = _line(came, process, family, Limits(seconds, limits.memory))
                    yield _answer(line, token)
                    seconds = limits.seconds
            finally:
                _end(process, family)


def _line(
    came: IO[bytes],
    process: "subprocess.Popen[bytes]",
    family: dict[int, psutil.Process],
    limits: Limits,
) -> bytes:
    """Wait for the next line; raises Ended when a limit is reached or the process has ended."""
    deadline, line = time.monotonic() + limits.seconds, b""
    while True:
        ended = process.poll()  # before the look at what it wrote last
        line += came.readline()
        if line.endswith(b"\n"):
            return line
        if ended is not None:
            raise Ended(f"ended the process (exit code {ended})")
        if _memory(family, process.pid) > limits.memory:
            raise Ended(f"took more than {limits.memory / 1e9:,.3g} GB of memory")
        if time.monotonic() > deadline:
            raise Ended(f"took longer than {limits.seconds:,.3g} seconds")
        time.sleep(LOOK)


def _answer(line: bytes, token: str) -> dict[str, Any]:
    """Read an answer; only the worker knows the token, so a cell's own line is none."""
    with suppress(ValueError):
        answer = json.loads(line)
        if isinstance(answer, dict) and answer.get("token") == token:
            return answer
    raise Ended("wrote into the grader's channel")


def _memory(family: dict[int, psutil.Process], pid: int) -> int:
    """Bytes in main memory, of a process and all that it started; ``family`` is brought up."""
    amount = 0
    with suppress(psutil.Error):  # one that loses its parent later is remembered
        family |= {each.pid: each for each in family[pid].children(recursive=True)}
    for process in family.values():
        with suppress(psutil.Error):
            amount += process.memory_info().rss
    return amount


def _end(process: "subprocess.Popen[bytes]", family: dict[int, psutil.Process]) -> None:
    """End a process and all that it started."""
    _memory(family, process.pid)
    if process.returncode is None and hasattr(os, "killpg"):
        with suppress(OSError):  # before wait() frees the number for another process
            os.killpg(process.pid, signal.SIGKILL)
    for each in family.values():
        with suppress(psutil.Error):
            each.kill()
    with process:  # closes its standard input, and waits
        pass
