"""Judge a learner's cells, in a process of its own that the grader starts.

What the cells print, or ask for, goes nowhere. This keeps an accident in a cell from harming the
grader, or the next exercise; it is no security sandbox.
"""

import ast
import asyncio
import faulthandler
import importlib
import inspect
import json
import linecache
import os
import random
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from traceback import walk_tb
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import torch

from gptcourse.exercises.checks import judge
from gptcourse.exercises.exercise import Exercise

LONGEST = 2_000  # characters of a message
LARGEST = 100 * 10**6  # bytes of a file that a cell writes
DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
CHANGED = (
    "the check was changed, or a setting that it needs: after this cell it no longer tells right "
    "from wrong"
)
# What needs a notebook says nothing, and checks are silent: they are judged afterwards.
SILENT = dict.fromkeys(("check", "swap", "display", "get_ipython"), MagicMock())

Answer = dict[str, Any]  # passed, done, message


class Judge:
    """Runs cells in one namespace and judges their functions with checks bound beforehand."""

    def __init__(self, exercises: dict[str, Exercise]) -> None:
        """Keep copies of the exercises, and how they are judged, before any cell runs."""
        self.exercises = {name: replace(each) for name, each in exercises.items()}
        self.known = {name: (each.mistakes[0], each.right) for name, each in exercises.items()}
        self.judge = judge
        self.namespace: dict[str, Any] = {"__name__": "__main__"}

    def begin(self, imports: list[str], definitions: list[str]) -> str:
        """Run the notebook's imports and its definitions; return what is wrong with the imports."""
        try:
            for source in imports:
                self.run(source, "imports")
        except BaseException as problem:
            return told(problem)
        for source in definitions:  # one that needs more than these goes without
            with suppress(BaseException):
                self.run(source, "definition")
        return ""

    def mark(self, exercise: str, source: str, others: list[str]) -> Answer:
        """Run one exercise's cell and judge its function, which may build on other cells."""
        own, trouble = f"my_{exercise}", f"the cell defines no my_{exercise}"
        self.namespace.pop(own, None)
        for cell in others:
            with suppress(BaseException):
                self.define(ast.parse(cell), own)
        try:
            self.run(source, exercise)
        except BaseException as problem:
            trouble = told(problem)
        if own not in self.namespace:  # where it is, a cell that failed below it is judged
            return failed(trouble)
        seed()
        try:
            verdict = self.judge(self.exercises[exercise], self.namespace[own])
            passed, message = verdict.passed is True, str(verdict.message)[:LONGEST]
            done = passed or verdict.done is not False
        except BaseException as problem:
            return failed(told(problem))
        if not self.sound(exercise):
            return failed(CHANGED)
        return {"passed": passed, "done": done, "message": message}

    def sound(self, exercise: str) -> bool:
        """Whether the check still rejects a known mistake and accepts the right function."""
        seed()
        try:
            known = self.known[exercise]
            wrong, right = (self.judge(self.exercises[exercise], function) for function in known)
            return wrong.passed is False and wrong.done is True and right.passed is True
        except BaseException:
            return False

    def define(self, tree: ast.Module, own: str) -> None:
        """Take functions, classes and imports from a cell; what stands already stays."""
        for node in tree.body:
            name = getattr(node, "name", "")
            if isinstance(node, DEFINES) and name != own and name not in self.namespace:
                with suppress(BaseException):
                    exec(compile(ast.Module([node], []), "<other cell>", "exec"), self.namespace)

    def run(self, source: str, name: str) -> None:
        """Run a cell, its name standing for the file in what a traceback tells."""
        seed()
        self.namespace |= SILENT
        file = f"<cell {name}>"
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        code = compile(source, file, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        waits = eval(code, self.namespace)  # a coroutine where the cell awaits something
        if inspect.iscoroutine(waits):
            asyncio.run(waits)


def seed() -> None:
    """Begin the random numbers anew: a mark must not depend on what ran before."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def failed(message: str) -> Answer:
    """The answer about a cell that has no function to be judged, or none that can be."""
    return {"passed": False, "done": True, "message": message[:LONGEST]}


def told(problem: BaseException) -> str:
    """What a cell raised, with the line in the cell."""
    if isinstance(problem, SystemExit | KeyboardInterrupt | GeneratorExit):
        return f"the cell ends its process ({type(problem).__name__})"
    frames = [(frame.f_code.co_filename, line) for frame, line in walk_tb(problem.__traceback__)]
    lines = [line for file, line in frames if file.startswith("<cell ")]
    if isinstance(problem, SyntaxError):
        lines = [problem.lineno or 1]
    try:
        words = " ".join(str(getattr(problem, "msg", problem)).split())
    except BaseException:
        words = "its message cannot be read"
    if isinstance(problem, MemoryError):
        words = words or "it asks for more memory than there is"
    if isinstance(problem, NameError):
        words += " (other cells give only functions, classes and imports)"
    where = f" in line {lines[-1]} of the cell" if lines else ""
    return f"{type(problem).__name__}{where}{': ' if words else ''}{words}"


def main(folder: str, catalog: str) -> None:
    """Judge what ``folder/task.json`` holds; each answer is a line of standard output.

    The first is on the notebook's imports, then comes one for each exercise. "spoiled" in it says
    that the cell has changed what the next check needs, which belongs into another process.
    What takes too long ends this process, and leaves "Timeout" behind the last answer.
    """
    grader, channel = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):  # a cell finds nothing there
        os.dup2(nothing, number)
    threading.Thread(target=lambda: (grader.read(), os._exit(0)), daemon=True).start()
    task = json.loads(Path(folder, "task.json").read_bytes())
    Path(folder, "task.json").unlink()  # the token in it shows that an answer is none of a cell's
    torch.set_num_threads(1)
    worker = Judge(importlib.import_module(catalog).EXERCISES)
    mark, sound, dumps, token = worker.mark, worker.sound, json.dumps, task["token"]
    watch = faulthandler.dump_traceback_later  # a thread that needs nothing of Python's

    def say(answer: Answer) -> None:
        channel.write(f"\n{token}{dumps(answer)}\n".encode())
        channel.flush()

    with suppress(ImportError, ValueError):  # Windows knows no such limits
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (task["memory"], task["memory"]))
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST, LARGEST))
    say({"problem": worker.begin(task["imports"], task["definitions"])})
    cells = list(task["cells"].items())
    for place, (exercise, source) in enumerate(cells, 1):
        watch(task["seconds"], exit=True, file=channel)
        answer = mark(exercise, source, task["others"])
        spoiled = place < len(cells) and not sound(cells[place][0])
        say({**answer, "spoiled": spoiled})
        if spoiled:
            break
    os._exit(0)  # without waiting for threads that a cell may have started
