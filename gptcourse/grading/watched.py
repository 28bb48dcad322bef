"""A process that judges learners' cells, held to a time and an amount of memory."""

import contextlib
import json
import os
import queue
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import psutil

from gptcourse import STORED
from gptcourse.errors import CourseError
from gptcourse.paths import REPOSITORY
from gptlib import paths

# -P: a file that a cell leaves in the working folder is not taken for a module.
PROGRAM = """
import sys
sys.path[:0] = sys.argv[2:]
from gptcourse.grading.apart import main
main(sys.argv[1])
"""
LOOK = 0.1  # seconds between two looks at the memory
START = 300.0  # seconds for imports: a cold disk, a machine that has much else to do
LONGEST = 100_000  # bytes of an answer
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


class Ended(Exception):
    """The process is no more; the message says why, in words for the report."""


class Watched:
    """One process apart, in an empty folder that is thrown away; a context manager."""

    def __init__(self, catalogue: str) -> None:
        """Start it; it imports PyTorch and the exercises while nobody waits."""
        self.folder = tempfile.TemporaryDirectory(
            prefix="gptlib-grade-", ignore_cleanup_errors=True
        )
        self.answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        quiet = {"MPLBACKEND": "agg", "PYTHONIOENCODING": "utf-8:replace"}
        places = dict.fromkeys(("GPTLIB_RUNS", "TMPDIR", "TEMP", "TMP"), self.folder.name)
        variables = paths.variables(**STORED, **quiet, **places)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", PROGRAM, catalogue, str(REPOSITORY)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self.folder.name,
            env=variables,
            start_new_session=True,  # Ctrl-C is for the grader, which ends this process itself
        )
        self.known: dict[int, psutil.Process] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as answers:
            while line := answers.readline(LONGEST):
                self.answers.put(line)
        self.answers.put(b"")

    def _send(self, line: bytes) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it has ended: no answer will come
            self.process.stdin.write(line)
            self.process.stdin.flush()

    def ask(self, question: dict[str, Any], limits: Limits) -> dict[str, Any]:
        """Send a question and return the answer; raises Ended when none comes within the limits."""
        token = secrets.token_hex(8)
        line = json.dumps({**question, "token": token}).encode() + b"\n"
        threading.Thread(target=self._send, args=(line,), daemon=True).start()
        deadline = time.monotonic() + limits.seconds
        while True:
            try:
                line = self.answers.get(timeout=LOOK)
                break
            except queue.Empty:
                pass
            if self.memory() > limits.memory:
                raise Ended(f"took more than {limits.memory / 1e9:,.3g} GB of memory")
            if time.monotonic() > deadline:
                raise Ended(f"took longer than {limits.seconds:,.3g} seconds")
        try:
            answer = json.loads(line) if line else None
        except ValueError:
            answer = None
        if isinstance(answer, dict) and answer.get("token") == token:
            return answer
        raise Ended("wrote into the grader's channel" if line else self._how_it_ended())

    def memory(self) -> int:
        """Bytes in main memory, of the process and of those that it started."""
        return sum(_resident(process) for process in self._all())

    def _all(self) -> list[psutil.Process]:
        """The process and its descendants; one that lost its parent is remembered."""
        with contextlib.suppress(psutil.Error):
            own = psutil.Process(self.process.pid)
            self.known |= {each.pid: each for each in [own, *own.children(recursive=True)]}
        return [each for each in self.known.values() if each.is_running()]

    def _how_it_ended(self) -> str:
        with contextlib.suppress(psutil.Error):
            own, patience = psutil.Process(self.process.pid), 100
            while own.status() != psutil.STATUS_ZOMBIE and patience:
                patience -= 1
                time.sleep(0.01)
            if not patience:
                return "closed the grader's channel"
        self._end_all()
        return f"ended its process (exit code {self.process.returncode})"

    def _end_all(self) -> None:
        if self.process.returncode is None and hasattr(os, "killpg"):
            with contextlib.suppress(OSError):  # before wait() frees the number for another
                os.killpg(self.process.pid, signal.SIGKILL)
        for process in self._all():
            with contextlib.suppress(psutil.Error):
                process.kill()
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End the process and all that it started, and remove its folder."""
        self._end_all()
        with contextlib.suppress(OSError):
            assert self.process.stdin is not None
            self.process.stdin.close()
        self.folder.cleanup()

    def __enter__(self) -> "Watched":
        """Return the process."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it, whatever happened."""
        self.close()


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
